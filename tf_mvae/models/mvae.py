"""The multimodal variational autoencoder of Wu and Goodman."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from tf_mvae import checks
from tf_mvae.batch import example_weight, unpack
from tf_mvae.modality import Modality
from tf_mvae.models.arguments import check_modalities
from tf_mvae.models.multimodal import MultimodalVAE
from tf_mvae.models.registry import preset
from tf_mvae.models.self_training import check_self_training, guess_missing
from tf_mvae.objectives import SubsetElbos, default_term_weight
from tf_mvae.posteriors import Product
from tf_mvae.settings import Setting

__all__ = ["MVAE"]

MVAE_SETTINGS = (
    Setting(
        "cross_weight",
        {},
        "Weights of log-likelihoods in the terms whose subset does not contain the modality; the "
        "likelihood weight if omitted, 0 in the paper's objective.",
        argument="",
    ),
    Setting(
        "term_weight",
        {},
        "Weights of whole terms, for examples with several modalities: label=0.1 is that of the "
        "ELBO of the label alone, everything=0.5 of the joint one. If omitted, 0.1 for a class "
        "that other things are reconstructed from, else 1, as in the paper.",
    ),
    Setting(
        "alignment_weight",
        0.0,
        "Weight of the divergences KL(q(z | all) || q(z | subset)); they replace the "
        "ELBOs of subsets and cost no decoding. 0 is none.",
        checks.non_negative,
    ),
    Setting(
        "num_random_subsets",
        0,
        "Random subsets a step, the paper's k.",
        checks.non_negative_integer,
    ),
    Setting(
        "subset_distribution",
        "uniform_sizes",
        "How random subsets are drawn.",
        choices=("uniform_sizes", "uniform_subsets"),
    ),
    Setting(
        "self_training",
        {},
        "If an example is missing a class, the model's own guess is a target if its probability is "
        "above this: label=0.95.",
    ),
    Setting(
        "self_training_weight",
        1.0,
        "What a guess counts, where an observed class counts 1.",
        checks.positive_fraction,
    ),
    Setting(
        "self_training_start",
        1000,
        "Steps before self-training begins.",
        checks.non_negative_integer,
    ),
)


@preset("mvae", *MVAE_SETTINGS)
@keras.saving.register_keras_serializable("tf_mvae")
class MVAE(MultimodalVAE):
    """A product-of-experts posterior, trained on the ELBOs of many subsets at once.

        ELBO(all) + sum_i ELBO({x_i}) + sum_{j=1..k} ELBO(X_j),
        q(z | S) ∝ p(z) prod_{i in S} q~(z | x_i)

    for each example, over all that it has, each modality that it has, and
    `num_random_subsets` random subsets of what it has (Wu and Goodman, NeurIPS 2018,
    equation 4). What a term reconstructs is said by each modality's `likelihood_weight` and
    `cross_weight`: with `cross_weight=0` everywhere it is the paper's objective.

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

    _make_kind = Product

    def __init__(
        self,
        modalities: Sequence[Modality],
        latent_dim: int = 64,
        num_random_subsets: int | None = None,
        subset_distribution: str = "uniform_sizes",
        term_weight: Mapping[str, float] | None = None,
        self_training: Mapping[str, float] | None = None,
        self_training_weight: float = 1.0,
        self_training_start: int = 1000,
        alignment_weight: float = 0.0,
        **kwargs,
    ):
        """Creates the model and all its weights.

        Args:
            modalities: What an example may consist of.
            latent_dim: Size of the latent.
            num_random_subsets: The paper's k. There are `2^N - N - 2` such subsets of N
                modalities: none of two. Default: 0, or 2 with a `ModalityGroup` that has a
                cross weight (`tf_mvae.objectives.subset_elbos.default_num_random_subsets`).
            subset_distribution: `'uniform_sizes'` (the published code's) or
                `'uniform_subsets'`; see `tf_mvae.objectives.subsets.random_subsets`.
            term_weight: The weights of whole ELBO terms, divergence and all: by modality,
                that of the modality alone, under `'everything'` that of all that an example
                has, under `'random'` that of random subsets. They are for examples that have
                several modalities; the one term of others counts 1. What a mapping omits is 1,
                as everything is in the paper: `{}` has the paper's weights. Default:
                `default_term_weight`, which depends on the number of modalities and on
                `alignment_weight`.
            self_training: By class modality, a probability: in training, an example whose
                class is missing has the model's own guess to reconstruct if the model takes
                it for more probable than that. See
                `tf_mvae.models.self_training.guess_missing`.
            self_training_weight: What a guess counts, where a class that is there counts 1.
            self_training_start: Steps before that begins.
            alignment_weight: The weight of `KL(q(z | all) || q(z | S))` for the subsets that
                are terms; see `tf_mvae.objectives.SubsetElbos`.
            **kwargs: Those of `BaseVAE`: `kl_weight`, `free_bits`, `num_samples`, `seed`, `name`.

        Raises:
            ValueError: There are fewer such subsets than `num_random_subsets`, the
                distribution is not known, a weight is negative or names no modality, or
                self-training is asked for something else than a class or with a weight
                that is none.
        """
        check_modalities(modalities)
        self_training = dict(self_training or {})
        check_self_training(self_training, modalities)
        weight = checks.positive_fraction("self_training_weight", self_training_weight)
        start = checks.non_negative_integer("self_training_start", self_training_start)
        objective = SubsetElbos(
            num_random_subsets, subset_distribution, term_weight, alignment_weight
        )
        super().__init__(modalities, latent_dim, self._make_kind(), objective, **kwargs)
        self.self_training = {name: float(c) for name, c in self_training.items()}
        self.self_training_weight = weight
        self.self_training_start = start

    @classmethod
    def resolve(
        cls,
        make_modalities: Callable[[], list[Modality]],
        settings: Mapping[str, Any],
        before: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Fills in the weights of terms; a run that is taken up keeps its own."""
        # Modalities are made in any case: layers count those made before for their names, which
        # are a part of checkpoints.
        found = default_term_weight(make_modalities(), settings["alignment_weight"])
        if before is not None:
            found = before["term_weight"]
        return {"term_weight": found | settings["term_weight"]}

    @property
    def num_random_subsets(self) -> int:
        """The paper's k."""
        return self.objective.num_random_subsets

    @property
    def subset_distribution(self) -> str:
        """How random subsets are drawn."""
        return self.objective.subset_distribution

    @property
    def term_weight(self) -> dict[str, float]:
        """The weights of whole terms."""
        return self.objective.term_weight

    def _possible_targets(self, present: tf.Tensor) -> tf.Tensor:
        guessed = tf.constant([float(name in self.self_training) for name in self._names])
        return tf.maximum(present, guessed * tf.reduce_max(present, axis=1, keepdims=True))

    def _completed(self, data, step):
        if not self.self_training:
            return data, None
        x, mask = unpack(data, self.batch_inputs)
        weight = tf.where(step < self.self_training_start, 0.0, self.self_training_weight)
        x, targets = guess_missing(self, x, mask, self.self_training, weight)
        completed = {"x": x, "mask": mask}
        of_examples = example_weight(data)
        return completed if of_examples is None else completed | {"weight": of_examples}, targets

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments that make this model again."""
        return {
            **super().get_config(),
            **self.objective.get_config(),
            "self_training": self.self_training,
            "self_training_weight": self.self_training_weight,
            "self_training_start": self.self_training_start,
        }
