"""The base class of multimodal VAEs: inference with an objective, training and saving."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf
from absl import logging

from tf_mvae import checks
from tf_mvae.batch import example_weight, present_mask, unpack
from tf_mvae.covariate import Covariate
from tf_mvae.errors import UserError
from tf_mvae.group import has_groups
from tf_mvae.inference import arguments
from tf_mvae.layers.dropout import layer_seeds
from tf_mvae.layers.sequential import MaskedSequential
from tf_mvae.modality import Modality
from tf_mvae.models.archive import num_weights
from tf_mvae.models.frozen import freeze, frozen_layers
from tf_mvae.models.sharing import SharedModel
from tf_mvae.models.training import TrainableModel
from tf_mvae.objectives import Batch, Elbo, Objective, RowPlan, Step
from tf_mvae.objectives.objective import complete_examples
from tf_mvae.ops import random
from tf_mvae.ops.replicas import are_several
from tf_mvae.optimization import layers_compute_in
from tf_mvae.posteriors import LatentSpace, PosteriorKind
from tf_mvae.settings import Setting

__all__ = ["SETTINGS", "BaseVAE"]

_CHANGING_WEIGHT = (
    "make the model with a number or, for a weight that changes, with a schedule of the step, such "
    "as tf_mvae.LinearAnnealing"
)

# Of every run, whatever its model is.
SETTINGS = (
    Setting("latent_dim", 64, "Size of the latent.", checks.positive_integer),
    Setting(
        "num_samples",
        1,
        "Samples of the latent for each term of a step.",
        checks.positive_integer,
    ),
    Setting(
        "free_bits",
        0.0,
        "Least KL divergence in nats that each latent dimension costs in training, used "
        "or not (Kingma et al., 2016); 0: no minimum.",
        checks.non_negative,
    ),
)


class BaseVAE(TrainableModel, SharedModel):
    """A joint model `p(z) prod_i p(x_i | z)` with a posterior for any subset.

    It is a Keras model: `compile(optimizer)`, `fit`, `evaluate`, `predict`, callbacks,
    `save` and `keras.models.load_model`. Data are batches of
    `{"x": {name: array}, "mask": {name: float32 [batch]}, "weight": float32 [batch]}`; `mask` and
    `weight` may be omitted. If the model has covariates, they are in `x` as well. `weight`
    multiplies the losses of the examples; their sum is divided by the number of examples, not by
    the sum of weights. Metrics are weighted means. The objective (`tf_mvae.objectives`) defines the
    loss.

    The random numbers of a training step depend only on `seed` and on the number of the step, so a
    run that continues from a checkpoint uses the same ones.

    Attributes:
        max_modalities: The greatest number of modalities; None: any.
        learns_from_incomplete: Whether the model learns from examples with missing modalities.
        objective: What is maximised.
        plan: The number of rows that decoders run for in training; see `expect`.
    """

    max_modalities: int | None = None
    learns_from_incomplete = True

    @classmethod
    def resolve(
        cls,
        make_modalities: Callable[[], list[Modality]],
        settings: Mapping[str, Any],
        before: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Returns those settings of a preset that depend on the modalities, by name.

        Args:
            make_modalities: Returns the run's modalities.
            settings: The preset's settings, by name.
            before: Those of the run that is taken up, if it is one of the same preset.
        """
        return {}

    @classmethod
    def experiment_arguments(cls, experiment: Any, modalities: Sequence[Modality]) -> dict:
        """Returns those arguments of the constructor that an experiment has for a preset.

        Args:
            experiment: A `tf_mvae.experiments.Experiment`.
            modalities: The model's modalities, in its order.
        """
        return {}

    def __init__(
        self,
        modalities: Sequence[Modality],
        latent_dim: int,
        posterior_kind: PosteriorKind,
        objective: Objective,
        latent: LatentSpace | None = None,
        kl_weight: float | keras.optimizers.schedules.LearningRateSchedule = 1.0,
        num_samples: int = 1,
        seed: int = 0,
        free_bits: float = 0.0,
        covariates: Sequence[Covariate] = (),
        **kwargs,
    ):
        """Creates the model and all its weights.

        Args:
            modalities: The modalities of an example, with different names.
            latent_dim: Size of the latent.
            posterior_kind: How experts become `q(z | S)`.
            objective: What is maximised.
            latent: The latent space; default: `latent_dim` shared numbers.
            kl_weight: Weight of the KL divergence in training (the paper's beta): a
                number, or a Keras schedule of the step such as
                `tf_mvae.LinearAnnealing`. Evaluation uses 1.
            num_samples: Samples of the latent for each term of a training step.
            seed: Seed of the subsets and the noise.
            free_bits: In training, the least divergence in nats that each latent dimension costs,
                used or not (`tf_mvae.posteriors.Posterior.charged_kl`).
            covariates: Inputs of all encoders and decoders that are known for every example and not
                modelled, such as a site or an age; see `tf_mvae.Covariate`.
            **kwargs: Keras' own arguments for a model.

        Raises:
            ValueError: No modality, two of one name, one that belongs to another model already,
                a size below 1, or a negative weight or number of free bits.
        """
        num_samples = checks.positive_integer("num_samples", num_samples)
        free_bits = checks.non_negative("free_bits", free_bits)
        if hasattr(kl_weight, "assign"):
            raise UserError(f"kl_weight is a variable; {_CHANGING_WEIGHT}")
        if not callable(kl_weight):
            kl_weight = checks.non_negative("kl_weight", kl_weight)
        arguments.check_modalities(modalities)
        objective.check(modalities)
        super().__init__(modalities, latent_dim, seed, posterior_kind, latent, covariates, **kwargs)
        if self.compute_dtype != "float32" and any(
            modality.compute_dtype == "float32" for modality in self.modalities
        ):
            logging.warning(
                "%s has dtype=%s, and networks of float32: they have the policy of when they "
                "were made; call keras.config.set_dtype_policy(%r) before making modalities",
                self.name,
                self.dtype_policy.name,
                self.dtype_policy.name,
            )
        self.objective = objective
        self.learns_from_incomplete = objective.learns_from_incomplete
        self._kl_weight = kl_weight
        self.num_samples = num_samples
        self.free_bits = free_bits
        self.plan = RowPlan()
        self._make_trackers()
        self.built = True

    def elbo(
        self,
        batch: Any,
        kl_weight: tf.Tensor | float = 1.0,
        num_samples: int | None = None,
        seed: int | Sequence[int] | tf.Tensor | None = None,
        training: bool = False,
        targets: Mapping[str, Any] | None = None,
    ) -> Elbo:
        """Returns the objective of a batch, by term, example and modality.

        Args:
            batch: `{"x": ..., "mask": ..., "weight": ...}`.
            kl_weight: Weight of the KL divergence.
            num_samples: Samples of the latent a term; the model's if omitted.
            seed: A number (or two) for subsets and noise; the model's if omitted.
            training: Whether this is a training step.
            targets: By name, `[batch]`, what the reconstruction of each example counts (1,
                0, or a fraction); what the batch's masks let the posterior see, if omitted.

        Raises:
            UserError: A key, shape, type, mask, value or argument does not fit, or the batch has no
                example.
        """
        kl_weight = arguments.kl_weight(kl_weight)
        number = self.num_samples if num_samples is None else arguments.sample_count(num_samples)
        x, mask = unpack(batch, self.batch_inputs)
        present = present_mask(mask, self.modalities)
        if present.shape[0] == 0 and not are_several():
            raise UserError("the batch is empty: it has no examples to take the mean loss of")
        if training:
            self.check_free_bits()
        if not self.objective.learns_from_incomplete:
            complete = complete_examples(present)
            mask = dict.fromkeys(mask, complete)
            present = present_mask(mask, self.modalities)
        wanted = present if targets is None else present_mask(targets, self.modalities)
        seed = self._seed(seed)
        seeds = (
            tf.unstack(random.split(seed, 2), num=2) if self.objective.splits_seed else (seed, seed)
        )
        terms_seed, noise_seed = seeds
        step = Step(
            number,
            kl_weight,
            self.free_bits if training else 0.0,
            terms_seed,
            noise_seed,
            self.plan,
            self._log_likelihood_of(x, mask),
            self.latent.slices(self.modalities),
            self._appended(x, self.targets),
        )
        with layer_seeds(self._layer_seed(step.noise_seed)):
            encoded = self._encoded(x, mask, training)
            terms = self.objective.terms(
                self.modalities, self.posterior_kind, encoded, present, step.terms_seed
            )
            found = self.objective.evaluate(
                self.targets, Batch(x, wanted, training), terms, present, step
            )
        weight = example_weight(batch)
        return found if weight is None else found.weighted(weight)

    def check_free_bits(self) -> None:
        """Raises UserError if `free_bits` is set and the objective has no use for it."""
        if self.free_bits and not self.objective.takes_free_bits:
            raise UserError(
                f"{self.name} takes no free_bits: the divergence that it charges is a mixture's, "
                "no sum over latent dimensions; set free_bits=0"
            )

    def _log_likelihood_of(self, x: Mapping[str, tf.Tensor], mask: Mapping[str, tf.Tensor]) -> Any:
        """Returns how modalities are decoded, if not from z alone; see `Step`."""
        return None

    def expect(self, mask: Mapping[str, Any] | None) -> None:
        """Declares which modalities the rows of every training batch have, which saves work.

        A decoder then runs for as many rows as such a batch needs it for, in any order, and
        not for what is missing anyway. A batch that needs more takes longer. What is saved
        with the model does not change.

        Args:
            mask: Masks of all modalities by name, `[batch]`; None: every row may have everything.

        Raises:
            UserError: There is no mask of a modality.
        """
        absent = [name for name in self._names if mask is not None and name not in mask]
        if absent:
            raise UserError(f"expect takes the masks of all modalities; add {', '.join(absent)}")
        self.plan = RowPlan()
        if mask is None or self.objective.is_random or has_groups(self.modalities):
            return
        present = tf.stack([tf.cast(mask[name], tf.float32) for name in self._names], axis=1)
        targets = self._possible_targets(present)
        self.plan = RowPlan(self.objective.shares(self.modalities, present, targets))

    @property
    def kl_weight(self) -> float | keras.optimizers.schedules.LearningRateSchedule:
        """The weight of the KL divergence in training; it is part of a compiled step."""
        return self._kl_weight

    @kl_weight.setter
    def kl_weight(self, value: Any) -> None:
        raise UserError(f"kl_weight is set when the model is made; {_CHANGING_WEIGHT}")

    def _possible_targets(self, present: tf.Tensor) -> tf.Tensor:
        """Returns 1 where an example may have to reconstruct a modality, `[batch, modality]`."""
        return present

    def save(self, filepath: Any, *args, **kwargs) -> None:
        """Saves the model as `keras.Model.save`.

        Raises:
            UserError: The file is to be HDF5, Keras' former format, which cannot hold such a model,
                or a likelihood is of a lambda.
        """
        if str(filepath).endswith((".h5", ".hdf5")):
            raise UserError(f"{filepath}: give a name that ends in .keras, or use save_weights")
        self.get_config()  # its errors come before Keras opens the file
        super().save(filepath, *args, **kwargs)

    def load_weights(self, filepath: Any, *args, **kwargs) -> None:
        """Loads weights as `keras.Model.load_weights`; warns if the file has more than the model.

        Those of a sampler need a sampler of the same kind: call `set_sampler` first. `save` and
        `keras.models.load_model` keep model and sampler together.
        """
        super().load_weights(filepath, *args, **kwargs)
        number = num_weights(filepath)
        if number is not None and number > len(self.weights):
            logging.warning(
                "%s has %d weights more than %s, which were not loaded; if they are a sampler's, "
                "attach one (set_sampler) and load them again",
                filepath,
                number - len(self.weights),
                self.name,
            )

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor arguments of this model."""
        weight, serialize = self.kl_weight, keras.saving.serialize_keras_object
        sampler = {} if self.sampler is None else {"sampler": serialize(self.sampler)}
        covariates = [serialize(covariate) for covariate in self.covariates]
        frozen = frozen_layers(self)
        return {
            **sampler,
            **({"frozen": frozen} if frozen else {}),
            **({"covariates": covariates} if covariates else {}),
            **({} if self.trainable else {"trainable": False}),
            "name": self.name,
            "dtype": keras.saving.serialize_keras_object(self.dtype_policy),
            "modalities": [keras.saving.serialize_keras_object(m) for m in self.modalities],
            "latent_dim": self.latent_dim,
            "kl_weight": keras.saving.serialize_keras_object(weight)
            if callable(weight)
            else weight,
            "num_samples": self.num_samples,
            "seed": self.seed,
            "free_bits": self.free_bits,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> "BaseVAE":
        """Creates a model from the result of `get_config`."""
        make, config = keras.saving.deserialize_keras_object, dict(config)
        sampler, trainable = config.pop("sampler", None), config.pop("trainable", True)
        frozen = config.pop("frozen", ())
        modalities = [make(m, custom_objects=custom_objects) for m in config["modalities"]]
        if "covariates" in config:
            config["covariates"] = [
                make(one, custom_objects=custom_objects) for one in config["covariates"]
            ]
        weight = config["kl_weight"]
        weight = make(weight, custom_objects=custom_objects) if isinstance(weight, dict) else weight
        policy = config.get("dtype", keras.config.dtype_policy())  # older files hold none
        policy = make(policy) if isinstance(policy, dict) else policy
        with layers_compute_in(policy):  # those that the model makes itself, too
            own = {"dtype": policy, "modalities": modalities, "kl_weight": weight}
            model = cls(**{**config, **own})
        if sampler is not None:
            model.set_sampler(make(sampler, custom_objects=custom_objects))
        if not trainable:
            model.trainable = False
        _freeze_inner_layers(model)
        freeze(model, frozen)
        return model

    def _step_seed(self, step: tf.Tensor) -> tf.Tensor:
        return random.fold_in(tf.constant([self.seed, 0]), step)

    def _layer_seed(self, seed: tf.Tensor) -> tf.Tensor:
        """Returns a seed for the layers of one replica, which differs between replicas."""
        if not are_several():
            return seed
        return random.fold_in(seed, tf.distribute.get_replica_context().replica_id_in_sync_group)


def _freeze_inner_layers(model: BaseVAE) -> None:
    """Freezes the layers that frozen ones made themselves, which their configurations omit."""
    keep_parts = (keras.Model, MaskedSequential, Modality)
    for layer in model._flatten_layers(include_self=False):
        if not (layer.trainable or isinstance(layer, keep_parts)):
            for inner in layer._flatten_layers(include_self=False):
                inner.trainable = False
