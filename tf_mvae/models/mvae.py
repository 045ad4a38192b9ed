"""The multimodal variational autoencoder of Wu and Goodman."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tf_mvae.data import contract
from tf_mvae.distributions.likelihoods import Categorical
from tf_mvae.group import ModalityGroup, has_groups
from tf_mvae.modality import Modality
from tf_mvae.models.base import MultimodalVAE
from tf_mvae.models.elbo import PosteriorTerms, decoded_terms
from tf_mvae.models.grouped_elbo import elbo_of_groups, grouped_posteriors
from tf_mvae.models.self_training import check_self_training, guess_missing
from tf_mvae.models.subsets import (
    SUBSET_DISTRIBUTIONS,
    check_num_random,
    several_terms,
    subset_terms,
)
from tf_mvae.ops import random

__all__ = ["MVAE", "default_term_weight"]


_EVERYTHING = "everything"
_CLASS_ALONE = 0.1


def default_term_weight(modalities: Sequence[Modality]) -> dict[str, float]:
    """Returns the `term_weight` of an `MVAE` that is given none.

    - The term of a single modality alone weighs `1 / (S - 1)^2` where there are S > 2 single
      modalities. Each of the S terms reconstructs S - 1 other modalities, and these S (S - 1)
      reconstructions together then weigh about as much as one modality. With weights of 1 these
      terms outweigh the joint term S to 1; a single column predicts little of the others, and
      the posterior collapses.
    - The term of a class alone (`Categorical`) weighs 0.1 at most where other modalities are
      reconstructed from it: it costs the decoders of images likelihood, and the class's expert
      learns as much from a tenth of it. Where labels are few, or training is short, it needs
      more (`term_weight={}`: all of it).
    - The members of a `ModalityGroup` weigh 1: alone they reconstruct nothing but themselves.
    - Where no modality has a `cross_weight`, as in the paper, every weight is 1.

    docs/objectives.md has the measurements.

    Args:
        modalities: The modalities of a model.

    Returns:
        Weights by name; those left out are 1, as is that of the joint term.
    """
    if not any(np.any(m.cross_weight) for m in modalities):
        return {}
    singles = [m for m in modalities if not isinstance(m, ModalityGroup)]
    classes = [m.name for m in singles if isinstance(m.likelihood, Categorical)]
    weights = dict.fromkeys([m.name for m in singles], 1 / max(1, len(singles) - 1) ** 2)
    if any(np.any(m.cross_weight) for m in modalities if m.name not in classes):
        weights |= {name: min(_CLASS_ALONE, weights[name]) for name in classes}
    return {name: weight for name, weight in weights.items() if weight != 1}


@keras.saving.register_keras_serializable("tf_mvae")
class MVAE(MultimodalVAE):
    """A product-of-experts posterior, trained on the ELBOs of many subsets at once.

    For each example the objective adds up the ELBO of everything it has, of each
    modality it has alone, and of `num_random_subsets` random subsets of what it has
    (Wu and Goodman, NeurIPS 2018, equation 4). What a term reconstructs is said by each
    modality's `likelihood_weight` and `cross_weight`: with `cross_weight=0` everywhere
    it is the paper's objective.

    Example:

    ```python
    model = MVAE([
        Modality("image", likelihoods.Bernoulli([28, 28, 1])),
        Modality("label", likelihoods.Categorical(10)),
    ])
    model.compile(keras.optimizers.Adam(1e-3))
    model.fit({"x": {"image": images, "label": labels}}, epochs=10, batch_size=100)
    model.generate({"label": [7]}, num_samples=16)["image"]   # [16, 1, 28, 28, 1]
    ```

    Modalities of one kind may come as a `tf_mvae.ModalityGroup`; every member is then a
    modality of the objective.
    """

    takes_groups = True

    def __init__(
        self,
        modalities: Sequence[Modality],
        latent_dim: int = 64,
        num_random_subsets: int = 0,
        subset_distribution: str = "uniform_sizes",
        term_weight: Mapping[str, float] | None = None,
        self_training: Mapping[str, float] | None = None,
        self_training_weight: float = 1.0,
        self_training_start: int = 1000,
        **kwargs,
    ):
        """Creates the model and all its weights.

        Args:
            modalities: What an example may consist of.
            latent_dim: Size of the latent.
            num_random_subsets: The paper's k. There are `2^N - N - 2` such subsets of N
                modalities: none of two.
            subset_distribution: `'uniform_sizes'` (the published code's) or
                `'uniform_subsets'`; see `tf_mvae.models.subsets.random_subsets`.
            term_weight: The weights of whole ELBO terms, divergence and all: by modality,
                that of the modality alone, and under `'everything'` that of all that an
                example has. They are for examples that have several modalities; the one
                term of others counts 1. What a mapping leaves out is 1: `{}` has the paper's
                weights. Default: `default_term_weight`, which depends on the number of
                modalities.
            self_training: By class modality, a probability: in training, an example that
                lacks the class has the model's own guess to reconstruct where the model
                holds it for more probable than that. See
                `tf_mvae.models.self_training.guess_missing`.
            self_training_weight: What a guess counts, where a class that is there counts 1.
            self_training_start: Steps before that begins.
            **kwargs: Those of `MultimodalVAE`: `kl_weight`, `free_bits`, `num_samples`, `seed`,
                `name`.

        Raises:
            ValueError: There are fewer such subsets than `num_random_subsets`, the
                distribution is not known, a weight is negative or names no modality, or
                self-training is asked for something else than a class or with a weight
                that is none.
        """
        check_num_random(num_random_subsets, sum(modality.size for modality in modalities))
        if subset_distribution not in SUBSET_DISTRIBUTIONS:
            raise ValueError(
                f"subset_distribution must be one of {SUBSET_DISTRIBUTIONS}, "
                f"not {subset_distribution!r}"
            )
        super().__init__(modalities, latent_dim, **kwargs)
        if term_weight is None:
            term_weight = default_term_weight(self.modalities)
        self.term_weight = {name: float(weight) for name, weight in term_weight.items()}
        for name, weight in self.term_weight.items():
            if name not in (_EVERYTHING, *self._columns) or not weight >= 0:
                raise ValueError(
                    f"term_weight holds a number of 0 or more for some of "
                    f"{[_EVERYTHING, *self._columns]}, not {name}={weight}"
                )
        self.self_training = {name: float(c) for name, c in (self_training or {}).items()}
        check_self_training(self.self_training, self.modalities)
        self.self_training_weight = float(self_training_weight)
        if not 0 < self.self_training_weight <= 1:
            raise ValueError(f"self_training_weight must be in (0, 1], not {self_training_weight}")
        self.self_training_start = int(self_training_start)
        self.num_random_subsets = int(num_random_subsets)
        self.subset_distribution = subset_distribution

    def _evaluate(self, x, mask, present, wanted, seeds, num_samples, kl_weight, training):
        if not has_groups(self.modalities):
            return super()._evaluate(
                x, mask, present, wanted, seeds, num_samples, kl_weight, training
            )
        drawn = several_terms(present, self.num_random_subsets, self.subset_distribution, seeds[0])
        experts = self._encode(x, mask, training)
        terms = grouped_posteriors(self.product_of_experts, *experts, present, drawn)
        terms = terms._replace(valid=self._weighted(terms.valid, present))
        return elbo_of_groups(
            self.modalities,
            x,
            wanted,
            terms,
            num_samples,
            kl_weight,
            seeds[1],
            training,
            self.free_bits if training else 0.0,
        )

    def _weighted(self, valid: tf.Tensor, present: tf.Tensor) -> tf.Tensor:
        """Multiplies whole terms by their weights."""
        if not self.term_weight:
            return valid
        names = [_EVERYTHING, *self._columns]
        weight = [self.term_weight.get(name, 1.0) for name in names]
        weight += [1.0] * (valid.shape[0] - len(weight))
        several = tf.reduce_sum(present, axis=1) > 1
        return valid * tf.where(several, tf.constant(weight)[:, tf.newaxis], 1.0)

    def _terms(self, x, mask, present, seed, training):
        subset, valid = self._weighted_subsets(present, seed)
        loc, log_variance = self.product_of_experts(*self._encode(x, mask, training), subset)
        number, num_terms = len(self.modalities), subset.shape[0]
        return PosteriorTerms(
            subset,
            valid,
            loc,
            log_variance,
            {
                m.name: decoded_terms(m, index, number, num_terms)
                for index, m in enumerate(self.modalities)
            },
            {m.name: m.cross_weight for m in self.modalities},
            self.num_random_subsets,
        )

    def _weighted_subsets(self, present, seed):
        subset, valid = subset_terms(
            present, self.num_random_subsets, self.subset_distribution, seed
        )
        return subset, self._weighted(valid, present)

    def _needed(self, mask):
        if self.num_random_subsets or has_groups(self.modalities):
            return {}
        present = tf.stack([tf.cast(mask[name], tf.float32) for name in self._names], axis=1)
        subset, valid = self._weighted_subsets(present, None)
        guessed = tf.constant([float(name in self.self_training) for name in self._names])
        targets = tf.maximum(present, guessed * tf.reduce_max(present, axis=1, keepdims=True))
        shares = {}
        for index, modality in enumerate(self.modalities):
            inside = subset[:, :, index]
            weight = modality.likelihood_weight * inside + modality.cross_weight * (1 - inside)
            counts = (weight * valid * targets[:, index]) > 0
            shares[modality.name] = float(tf.reduce_mean(tf.cast(counts, tf.float32)))
        return shares

    def _completed(self, data, step):
        if not self.self_training:
            return data, None
        x, mask = contract.unpack(data, self.modalities)
        weight = tf.where(step < self.self_training_start, 0.0, self.self_training_weight)
        x, targets = guess_missing(self, x, mask, self.self_training, weight)
        return {"x": x, "mask": mask}, targets

    def _elbo_seeds(self, seed):
        subset_seed, noise_seed = tf.unstack(random.split(seed, 2))
        return subset_seed, noise_seed

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments that make this model again."""
        return {
            **super().get_config(),
            "num_random_subsets": self.num_random_subsets,
            "subset_distribution": self.subset_distribution,
            "term_weight": self.term_weight,
            "self_training": self.self_training,
            "self_training_weight": self.self_training_weight,
            "self_training_start": self.self_training_start,
        }
