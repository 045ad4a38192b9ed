"""The multimodal variational autoencoder of Wu and Goodman."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from tf_mvae.inference.arguments import check_modalities
from tf_mvae.modality import Modality
from tf_mvae.models.multimodal import MultimodalVAE
from tf_mvae.models.registry import preset
from tf_mvae.models.self_training import SELF_TRAINING_SETTINGS, SelfTraining
from tf_mvae.objectives import SubsetElbos, default_term_weight
from tf_mvae.objectives.subset_elbos import SUBSET_SETTINGS
from tf_mvae.posteriors import PosteriorKind, Product

__all__ = ["MVAE"]

MVAE_SETTINGS = (*SUBSET_SETTINGS, *SELF_TRAINING_SETTINGS)


@preset("mvae", *MVAE_SETTINGS)
@keras.saving.register_keras_serializable("tf_mvae")
class MVAE(MultimodalVAE):
    """A product-of-experts posterior, trained on the ELBOs of many subsets at once.

        ELBO(all) + sum_i ELBO({x_i}) + sum_{j=1..k} ELBO(X_j),
        q(z | S) ∝ p(z) prod_{i in S} q~(z | x_i)

    for each example: the ELBO of all its observed modalities, of each of them alone, and of
    `num_random_subsets` random subsets of them (Wu and Goodman, NeurIPS 2018, equation 4). The
    `likelihood_weight` and `cross_weight` of a modality determine in which terms it is
    reconstructed; with `cross_weight=0` for all modalities this is the paper's objective.

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

    A `tf_mvae.ModalityGroup` holds many modalities of one kind; each member counts as a modality of
    the objective.
    """

    _make_kind: Callable[..., PosteriorKind] = Product

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
            modalities: The modalities of an example, any of which may be missing.
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
            ValueError: `num_random_subsets` exceeds the number of such subsets, the distribution is
                unknown, a weight is negative or for an unknown modality, or self-training is for a
                modality that is not a class or has an invalid weight.
        """
        check_modalities(modalities)
        guesses = SelfTraining(
            self_training or {}, self_training_weight, self_training_start, modalities
        )
        objective = SubsetElbos(
            num_random_subsets, subset_distribution, term_weight, alignment_weight
        )
        super().__init__(modalities, latent_dim, self._make_kind(), objective, **kwargs)
        self._guesses = guesses

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
    def term_weight(self) -> dict[str, float]:
        """The weights of whole terms."""
        return self.objective.term_weight

    @property
    def self_training(self) -> dict[str, float]:
        """By class modality, the probability above which the model's own guess counts."""
        return self._guesses.confidence

    def _possible_targets(self, present: tf.Tensor) -> tf.Tensor:
        return self._guesses.possible_targets(present, self._names)

    def _completed(self, data, step):
        return self._guesses.completed(self, data, step)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor arguments of this model."""
        return {
            **super().get_config(),
            **self.objective.get_config(),
            **self._guesses.get_config(),
        }
