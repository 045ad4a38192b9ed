"""What every multimodal VAE offers beside inference: an objective, training, saving."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from tf_mvae.data import contract
from tf_mvae.modality import Modality
from tf_mvae.models.elbo import Elbo, PosteriorTerms, elbo_of_posteriors
from tf_mvae.models.generative import GenerativeModel
from tf_mvae.models.precision import layers_compute_in
from tf_mvae.ops import random

__all__ = ["MultimodalVAE"]

_EVALUATION_STREAM = 1


class MultimodalVAE(GenerativeModel):
    """A joint model `p(z) prod_i p(x_i | z)` with a posterior for any subset.

    It is a Keras model: `compile(optimizer)`, `fit`, `evaluate`, `predict`, callbacks,
    `save` and `keras.models.load_model`. Data are batches of
    `{"x": {name: array}, "mask": {name: float32 [batch]}}`; `mask` may be left out.
    Subclasses say in `elbo` what is trained.

    The random numbers of a training step are a function of `seed` and the optimizer's
    step alone, so a run that goes on from a checkpoint repeats none and skips none.
    """

    def __init__(
        self,
        modalities: Sequence[Modality],
        latent_dim: int = 64,
        kl_weight: float | keras.optimizers.schedules.LearningRateSchedule = 1.0,
        num_samples: int = 1,
        seed: int = 0,
        **kwargs,
    ):
        """Creates the model and all its weights.

        Args:
            modalities: What an example may consist of; their names differ.
            latent_dim: Size of the latent.
            kl_weight: Weight of the KL divergence in training (the paper's beta): a
                number, or a Keras schedule of the step such as
                `tf_mvae.LinearAnnealing`. Evaluation uses 1.
            num_samples: Samples of the latent for each term of a training step.
            seed: Seed of the subsets and the noise.
            **kwargs: Keras' own arguments for a model.

        Raises:
            ValueError: No modality, two of one name, or a size below 1.
        """
        if num_samples < 1:
            raise ValueError(f"num_samples must be at least 1; it is {num_samples}")
        super().__init__(modalities, latent_dim, seed, **kwargs)
        self.kl_weight = kl_weight
        self.num_samples = int(num_samples)
        self._trackers = {
            name: keras.metrics.Mean(name=name)
            for name in ["loss", "elbo", "kl", *(f"{m.name}_log_likelihood" for m in self.targets)]
        }
        self.built = True

    def elbo(
        self,
        batch: Any,
        kl_weight: tf.Tensor | float = 1.0,
        num_samples: int | None = None,
        seed: int | Sequence[int] | tf.Tensor | None = None,
        training: bool = False,
    ) -> Elbo:
        """Returns the objective of a batch, by term, example and modality.

        Args:
            batch: `{"x": ..., "mask": ...}`.
            kl_weight: Weight of the KL divergence.
            num_samples: Samples of the latent a term; the model's where left out.
            seed: A number (or two) for subsets and noise; the model's where left out.
            training: Whether this is a training step.

        Raises:
            UserError: A key, shape, type or mask does not fit.
        """
        x, mask = contract.unpack(batch, self.modalities)
        present = contract.present_mask(mask, self.modalities)
        terms_seed, noise_seed = self._elbo_seeds(self._seed(seed))
        return elbo_of_posteriors(
            self.modalities,
            x,
            present,
            self._terms(x, mask, present, terms_seed, training),
            self.num_samples if num_samples is None else num_samples,
            kl_weight,
            self._noise_seed(noise_seed),
            training,
        )

    def _terms(
        self,
        x: Mapping[str, tf.Tensor],
        mask: Mapping[str, tf.Tensor],
        present: tf.Tensor,
        seed: tf.Tensor,
        training: bool,
    ) -> PosteriorTerms:
        """Returns the terms that the objective adds up, with their posteriors.

        Args:
            x: Raw data by name, `[batch, *event_shape]`.
            mask: Masks by name, `[batch]`.
            present: The masks side by side, `[batch, modality]`.
            seed: Two integers, for what is random about the terms.
            training: Whether this is a training step.
        """
        raise NotImplementedError

    def _elbo_seeds(self, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns seeds of the terms and of the noise; models with random terms split it."""
        return seed, seed

    def compile(self, optimizer: Any = "adam", **kwargs) -> None:
        """Configures training as `keras.Model.compile`; the loss is the model's own.

        Raises:
            ValueError: A loss is given.
        """
        if kwargs.get("loss") is not None:
            raise ValueError("the loss is the negative ELBO; leave `loss` out of compile")
        super().compile(optimizer=optimizer, **kwargs)

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compiles a loaded model as the saved one was; Keras calls it."""
        self.compile(**keras.saving.deserialize_keras_object(config))
        self.optimizer.build(self.trainable_variables)

    def fit(self, x: Any = None, validation_data: Any = None, **kwargs) -> keras.callbacks.History:
        """Trains as `keras.Model.fit`, after checking the data.

        Args:
            x: A dict of arrays, or a `tf.data.Dataset` of batches.
            validation_data: The same.
            **kwargs: Keras' own arguments.

        Raises:
            UserError: The data do not fit the modalities.
        """
        x = self._checked(x)
        validation_data = None if validation_data is None else self._checked(validation_data)
        if isinstance(x, tf.data.Dataset):
            kwargs.setdefault("shuffle", False)
        return super().fit(x=x, validation_data=validation_data, **kwargs)

    def evaluate(self, x: Any = None, **kwargs) -> Any:
        """Evaluates as `keras.Model.evaluate`, after checking the data."""
        return super().evaluate(x=self._checked(x), **kwargs)

    def train_step(self, data: Any) -> dict[str, tf.Tensor]:
        """Takes one step of the optimizer; Keras calls it."""
        step = self._batches_seen()
        kl_weight = self.kl_weight(step) if callable(self.kl_weight) else self.kl_weight
        with tf.GradientTape() as tape:
            elbo = self.elbo(data, kl_weight=kl_weight, seed=self._step_seed(step), training=True)
            loss = elbo.loss + tf.add_n([tf.zeros([]), *self.losses])
            replicas = tf.distribute.get_strategy().num_replicas_in_sync
            scaled = self.optimizer.scale_loss(loss / replicas)
        gradients = tape.gradient(scaled, [v.value for v in self.trainable_variables])
        if self._optimizer().global_clipnorm:  # sparse ones would count equal rows one by one
            gradients = [None if g is None else tf.convert_to_tensor(g) for g in gradients]
        self.optimizer.apply(gradients, self.trainable_variables)
        return self._update_metrics(loss, elbo)

    def test_step(self, data: Any) -> dict[str, tf.Tensor]:
        """Evaluates one batch, at a KL weight of 1; Keras calls it."""
        elbo = self.elbo(data, seed=tf.constant([self.seed, _EVALUATION_STREAM]))
        return self._update_metrics(elbo.loss + tf.add_n([tf.zeros([]), *self.losses]), elbo)

    def predict_step(self, data: Any) -> dict[str, tf.Tensor]:
        """Reconstructs and completes one batch; Keras calls it."""
        return self(data, training=False)

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """The metrics of training and evaluation, in nats an example.

        `loss`, the training objective; of the term that sees everything: `elbo`, all
        weights 1, its `kl`, and each modality's log-likelihood over the examples that
        have it.
        """
        return list(self._trackers.values())

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments that make this model again."""
        weight = self.kl_weight
        return {
            "name": self.name,
            "dtype": keras.saving.serialize_keras_object(self.dtype_policy),
            "modalities": [keras.saving.serialize_keras_object(m) for m in self.modalities],
            "latent_dim": self.latent_dim,
            "kl_weight": keras.saving.serialize_keras_object(weight)
            if callable(weight)
            else weight,
            "num_samples": self.num_samples,
            "seed": self.seed,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> "MultimodalVAE":
        """Makes a model from `get_config`'s answer."""
        make = keras.saving.deserialize_keras_object
        modalities = [make(m, custom_objects=custom_objects) for m in config["modalities"]]
        weight = config["kl_weight"]
        weight = make(weight, custom_objects=custom_objects) if isinstance(weight, dict) else weight
        policy = config.get("dtype", keras.config.dtype_policy())  # older files hold none
        policy = make(policy) if isinstance(policy, dict) else policy
        with layers_compute_in(policy):  # those that the model makes itself, too
            return cls(**{**config, "dtype": policy, "modalities": modalities, "kl_weight": weight})

    def _batches_seen(self) -> tf.Tensor:
        """Returns how many batches the optimizer has been given."""
        # `iterations` counts updates where gradients of several batches make one.
        return tf.cast(self._optimizer()._iterations.value, tf.int32)

    def _optimizer(self) -> keras.optimizers.Optimizer:
        """Returns the optimizer, the inner one where a float16 model's loss is scaled."""
        return getattr(self.optimizer, "inner_optimizer", self.optimizer)

    def _step_seed(self, step: tf.Tensor) -> tf.Tensor:
        return random.fold_in(tf.constant([self.seed, 0]), step)

    def _noise_seed(self, seed: tf.Tensor) -> tf.Tensor:
        """Returns a seed of a replica's own: its examples are its own, and so is the noise."""
        replica = tf.distribute.get_replica_context()
        if replica is not None and replica.num_replicas_in_sync > 1:
            return random.fold_in(seed, replica.replica_id_in_sync_group)
        return seed

    def _checked(self, data: Any) -> Any:
        if isinstance(data, tf.data.Dataset):
            return contract.check_dataset(data, self.modalities)
        return contract.check_arrays(data, self.modalities) if isinstance(data, Mapping) else data

    def _update_metrics(self, loss: tf.Tensor, elbo: Elbo) -> dict[str, tf.Tensor]:
        everything = tf.reduce_max(elbo.subset[0], axis=1)  # whatever the term's weight
        present = tf.reduce_max(elbo.subset, axis=0)
        total = tf.add_n([elbo.log_likelihood[m.name][0] for m in self.targets]) - elbo.kl[0]
        trackers = self._trackers
        trackers["loss"].update_state(loss, sample_weight=tf.shape(everything)[0])
        trackers["elbo"].update_state(total, sample_weight=everything)
        trackers["kl"].update_state(elbo.kl[0], sample_weight=everything)
        for index, modality in enumerate(self.modalities):
            if modality.name not in elbo.log_likelihood:
                continue
            trackers[f"{modality.name}_log_likelihood"].update_state(
                elbo.log_likelihood[modality.name][0], sample_weight=everything * present[:, index]
            )
        return {name: tracker.result() for name, tracker in trackers.items()}
