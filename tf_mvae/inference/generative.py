"""Inference and generation with a trained model."""

import contextlib
import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tf_mvae import checks
from tf_mvae.batch import check_arrays, unpack
from tf_mvae.data.schema import Schema
from tf_mvae.data.tables import Table
from tf_mvae.distributions.tfp import Distribution
from tf_mvae.errors import UserError
from tf_mvae.inference import arguments
from tf_mvae.inference.completion import with_missing_values
from tf_mvae.inference.imputation import impute_arrays
from tf_mvae.inference.imputed_table import ImputedTable
from tf_mvae.inference.latents import LatentModel
from tf_mvae.layers import unrolled
from tf_mvae.ops import random
from tf_mvae.ops.custom_op import reference_only

__all__ = ["GenerativeModel"]


class GenerativeModel(LatentModel):
    """`p(z) prod_i p(x_i | z)` and `q(z | any of them)`: infers, decodes, generates.

    `BaseVAE` adds how a model is trained.

    Methods check the names, shapes and types of their arguments, and values as well unless they are
    symbolic tensors of a graph (`tf_mvae.batch`). The first eager call of a method with a given set
    of modalities compiles its networks; later calls take a tenth of the time or less. `predict`
    creates a data pipeline at each call: use it for many batches.
    """

    def __call__(self, inputs: Any, *args, **kwargs) -> Any:
        """Calls the model as Keras does; numpy masked arrays keep their masks."""
        if any(isinstance(value, np.ma.MaskedArray) for value in tf.nest.flatten(inputs)):
            inputs = check_arrays(inputs, self.batch_inputs, partial=True)
        return super().__call__(inputs, *args, **kwargs)

    def decode(
        self, z: Any, training: bool = False, given: Mapping[str, Any] | None = None
    ) -> dict[str, Distribution]:
        """Returns the likelihood of every modality.

        Args:
            z: Latents, `[..., latent]`.
            training: Whether layers such as dropout act as in training.
            given: For models whose decoders have inputs in addition to the latent
                (`given_to_decoders`: conditions and covariates), these by name, `[batch,
                *event_shape]`, for z of `[..., batch, latent]`. Covariates of one example apply to
                all.

        Returns:
            TFP distributions by name, with batch `[...]` and the modality's events.
        """
        z, conditions = self._latents(z, given)
        if training:
            with self._drawn_layers(training):
                parameters = self.likelihood_parameters(z, None, conditions, training)
        else:
            parameters = self._eager_calls(
                "parameters",
                lambda z, conditions: self.likelihood_parameters(z, None, conditions),
                z,
                conditions,
                free_axes=z.shape.rank - 1,
            )
        wanted = self._given(parameters)
        return {m.name: m.likelihood.distribution(parameters[m.name]) for m in wanted}

    def generate(
        self,
        given: Mapping[str, Any],
        num_samples: int | tf.Tensor = 1,
        mask: Mapping[str, Any] | None = None,
        seed: int | Sequence[int] | tf.Tensor | None = None,
        temperature: float | tf.Tensor = 1.0,
        return_samples: bool = False,
        latents: str | None = None,
        resample: int | tf.Tensor | None = None,
        guidance: float | None = None,
    ) -> dict[str, tf.Tensor]:
        """Generates every modality from the given ones.

        `z ~ p(z | given)`, then every modality from z. The density of z is the sampler's if the
        model has one (`tf_mvae.samplers`), else `q(z | given)`.

        Args:
            given: Arrays by name, `[batch, *event_shape]`, including the covariates if the model
                has some; the covariates alone are allowed.
            num_samples: Samples of z for each example; an integer where XLA compiles.
            mask: Masks by name, `[batch]`.
            seed: A number (or two); the same one gives the same samples. The model's own
                if omitted.
            temperature: Factor of the posterior's standard deviation; 0 gives its mean (of a
                mixture that of the component that is drawn). With a sampler, the factor of the
                Gaussian noise that the flow transforms to z.
            return_samples: Whether to sample the likelihoods too, instead of returning
                their means (probabilities for classes).
            latents: `'posterior'` samples z from `q(z | given)` even if the model has a sampler;
                `'sampler'` raises an error if it has none; `'refined'` samples from the Gaussian
                that maximises the ELBO of each example, which takes 200 evaluations of the
                decoders (`tf_mvae.posteriors.refinement.refined`); `'product'`, of `MoPoE`, samples
                from the product of what is given, one component of its mixture. Default: the
                model's `default_latents`, and without it the sampler, if there is one, else
                `'posterior'` (`'product'` for `MoPoE`).
            resample: K, the number of candidates from which each z is chosen, with probabilities
                from the model's likelihoods; see `resampled_latents`.
            guidance: K: each z is chosen among K candidates `z_k ~ p(z | given)` with probabilities
                proportional to `prod_c p(x_c | z_k)`, over the given modalities that are one
                class each. So latents of which the model itself says another class are rare. With
                1, z has the density `latent_distribution`. Default: the sampler's `guidance`
                (2, unless it was made with another); 1 without a sampler. A
                `tf_mvae.samplers.FlowMatching` takes any number of 0 or more, and is guided by all
                that is given.

        Returns:
            Tensors by name, `[num_samples, batch, *event_shape]` (with a last axis of
            probabilities for classes, unless sampled). With `resample` also
            `"effective_sample_size"`, `[batch]`.

        Raises:
            UserError: A key, shape, type, mask, value or argument does not fit.
        """
        if isinstance(given, Mapping) and not given:
            names = " and ".join(map(repr, self.given_to_decoders))
            how = f"give {names}" if names else "use sample(num_samples)"
            raise UserError(f"nothing is given to generate from; {how}")
        x, mask = self._unpacked(given, mask)
        conditions = self._conditions_of_all(x, mask)
        seeds = self._two_seeds(seed)
        own = seeds[1] if return_samples else None
        if resample is None:
            z = self._drawn(x, mask, num_samples, seeds[0], temperature, latents, guidance)
            return self._decoded(z, own, None, conditions)
        if not tf.is_tensor(temperature) and temperature != 1:
            raise UserError(
                "resample draws from the model's own p(z | given); leave temperature out"
            )
        if guidance is not None:
            raise UserError("resample weighs by all that is given; leave guidance out")
        z, size = self._resampled(x, mask, num_samples, resample, seeds[0], latents)
        return {**self._decoded(z, own, None, conditions), "effective_sample_size": size}

    def impute(
        self,
        data: Any,
        num_samples: int = 100,
        quantiles: Sequence[float] = (0.05, 0.5, 0.95),
        seed: int | Sequence[int] | tf.Tensor | None = None,
        importance: bool = False,
        latents: str | None = None,
        first_row: int = 0,
    ) -> Any:
        """Fills missing values, with measures of uncertainty; see `tf_mvae.inference.imputation`.

        Args:
            data: A batch, a table (`tf_mvae.data.from_frame`), or a pandas data frame with the
                columns of the table that the model was made for; a saved model keeps their types
                and units.
            num_samples: Samples of the latent for each example.
            quantiles: Probabilities above 0 and below 1.
            seed: A number (or two); the model's own if omitted.
            importance: Whether samples of the latent are weighed by what is observed.
            latents: Which density they are drawn from; see `generate`.
            first_row: For a part of a longer table: how many rows come before it, a multiple of
                `BLOCK_ROWS`. The parts are then filled as the whole is.

        Returns:
            For a batch an `Imputation` by modality, for a table or a data frame an
            `ImputedTable`, in the table's units.

        Raises:
            UserError: The data or an argument do not fit.
        """
        number = checks.positive_integer("num_samples", num_samples)
        first_row = checks.non_negative_integer("first_row", first_row)
        if hasattr(data, "iloc"):
            if not hasattr(data, "columns"):
                raise UserError("a column alone is no table; give a data frame, frame[[NAME]]")
            if self.covariates:
                raise UserError(
                    "a saved model keeps its columns, not its covariates'; give the table, "
                    "tf_mvae.data.from_frame(frame, schema)"
                )
            data = Table(data, Schema.of_modalities(self.modalities))
        elif isinstance(data, Table):
            data.schema.check_model(self.modalities)
        batch = getattr(data, "batch", data)
        x, mask = unpack(batch, self.batch_inputs, partial=True)
        x = {**x, **self._conditions_of_all(x, mask)}
        if not isinstance(quantiles, Iterable):
            raise UserError(f"quantiles are numbers above 0 and below 1; they are {quantiles!r}")
        seed = self._seed(seed)
        how = (number, tuple(quantiles), seed, importance, latents, first_row)
        found = impute_arrays(self, x, mask, *how)
        return ImputedTable.of(data, found) if hasattr(data, "schema") else found

    def from_latent(
        self,
        z: Any,
        seed: tf.Tensor | None = None,
        names: Sequence[str] | None = None,
        given: Mapping[str, Any] | None = None,
    ) -> dict[str, tf.Tensor]:
        """Returns modalities' expected values, or samples, given latents.

        Args:
            z: Latents, `[..., latent]`.
            seed: Two integers; samples of the likelihoods are drawn where given.
            names: The modalities to decode; default: all.
            given: See `decode`.

        Returns:
            Tensors by name, `[..., *event_shape]` (with a last axis of probabilities for
            classes, unless sampled).
        """
        self._check_names(names)
        z, conditions = self._latents(z, given)
        return self._decoded(z, seed, names, conditions)

    def call(self, inputs: Any, training: bool = False) -> dict[str, tf.Tensor]:
        """Reconstructs and completes a batch from the posterior's mean.

        If the model has a sampler, what is missing is its expected value over 16 samples of
        `p(z | S)`, drawn with the model's seed and the same random numbers for each example.

        Args:
            inputs: A batch; any modalities may be omitted.
            training: Whether layers such as dropout act as in training.

        Returns:
            `"z"`, the posterior's mean, and every modality's expected value, by name.
        """
        x, mask = unpack(inputs, self.batch_inputs, partial=True)
        conditions = self._present_conditions(x, mask)
        if training:
            with self._drawn_layers(training):
                z = self._infer(x, mask, training).mean()
                parameters = self.likelihood_parameters(z, None, conditions, training)
            wanted = self._given(parameters)
            return {
                "z": z,
                **{m.name: m.likelihood.expected_value(parameters[m.name]) for m in wanted},
            }
        z = self._inferred(x, mask).mean()
        values = self._decoded(z, None, None, conditions)
        if self.sampler is not None:
            complete = functools.partial(with_missing_values, self)
            values = self._eager_calls("complete", complete, values, x, mask)
        return {"z": z, **values}

    def export(self, *args, **kwargs) -> Any:
        """Exports as `keras.Model.export`, with TensorFlow's own ops alone in the graph.

        It works before the model is called. The input is a whole batch,
        `{"x": {name: ...}, "mask": {name: ...}}`, without masks of conditions; a signature that
        takes tensors by name calls them `x_NAME` and `mask_NAME`.
        `tf_mvae.serving.export_saved_model` writes more signatures, and
        `tf_mvae.serving.export_format` ONNX and LiteRT files that are checked against the model.

        Args:
            *args: Keras' own arguments, `filepath` and `format` first.
            **kwargs: The same by name; `input_signature` replaces the batch that is described.
        """
        kwargs.setdefault("input_signature", [self._batch_signature()])
        litert = "litert" in (*args[1:2], kwargs.get("format"))  # which has no graph loops
        with reference_only(), unrolled(self) if litert else contextlib.nullcontext():
            return super().export(*args, **kwargs)

    def _batch_signature(self) -> dict[str, dict[str, tf.TensorSpec]]:
        """Returns the shapes and types of a batch of any size."""
        x, mask = {}, {}
        mask_names = {modality.name for modality in self.modalities} - {*self.conditions}
        lower = [one.name.lower() for one in self.batch_inputs]
        for index, modality in enumerate(self.batch_inputs):
            name, likelihood = modality.name, modality.likelihood
            # TensorFlow takes no two names that differ in case alone.
            own = f"{name}_{index}" if lower.count(name.lower()) > 1 else name
            shape = [None, *likelihood.event_shape]
            x[name] = tf.TensorSpec(shape, likelihood.dtype, f"x_{own}")
            if name in mask_names:
                shape = [None, *modality.given_mask_shape]
                mask[name] = tf.TensorSpec(shape, tf.float32, f"mask_{own}")
        return {"x": x, "mask": mask}

    def _decoded(
        self,
        z: tf.Tensor,
        seed: tf.Tensor | None,
        names: Sequence[str] | None,
        conditions: Mapping[str, tf.Tensor],
    ) -> dict[str, tf.Tensor]:
        """Returns expected values, or samples if there is a seed; see `from_latent`."""

        def decode(z, conditions, *seeds):
            parameters = self.likelihood_parameters(z, names, conditions)
            wanted = self._given(parameters)
            if not seeds:
                return {m.name: m.likelihood.expected_value(parameters[m.name]) for m in wanted}
            own = tf.unstack(random.split(seeds[0], len(self._names)), num=len(self._names))
            own = dict(zip(self._names, own, strict=True))
            return {
                m.name: m.likelihood.distribution(parameters[m.name]).sample(seed=own[m.name])
                for m in wanted
            }

        name = ("decode", None if names is None else tuple(names), seed is None)
        seeds = [] if seed is None else [self._seed(seed)]
        return self._eager_calls(
            name, decode, z, dict(conditions), *seeds, free_axes=z.shape.rank - 1
        )

    def _latents(
        self, z: Any, given: Mapping[str, Any] | None
    ) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        """Returns latents, float32 `[..., latent]`, and the conditions to decode them with."""
        z = arguments.latents(z, self.latent_dim)
        x = self._unpacked(given, None)[0] if given else {}
        conditions = {name: x[name] for name in self.given_to_decoders if name in x}
        for name, value in conditions.items():
            rows = value.shape[0]
            if rows not in (1, None) and (z.shape.rank < 2 or z.shape[-2] not in (rows, None)):
                raise UserError(
                    f"z must have shape [..., batch, {self.latent_dim}] with {name!r} of {rows} "
                    f"examples; it is {z.shape}"
                )
        return z, conditions

    def _conditions_of_all(
        self, x: Mapping[str, tf.Tensor], mask: Mapping[str, tf.Tensor]
    ) -> dict[str, tf.Tensor]:
        """Returns the model's conditions, which every example must have, and covariates."""
        for name in self.conditions:
            known = tf.get_static_value(mask[name]) if name in mask else None
            if known is not None and not known.all():
                raise UserError(
                    f"{self.name} needs {name!r} of every example; mask[{name!r}] holds a 0"
                )
        return self._present_conditions(x, mask)

    def _present_conditions(
        self, x: Mapping[str, tf.Tensor], mask: Mapping[str, tf.Tensor]
    ) -> dict[str, tf.Tensor]:
        """Returns the model's conditions, 0 where an example's is missing, and covariates."""
        found = {covariate.name: x[covariate.name] for covariate in self.covariates}
        for name in self.conditions:
            if name in x:
                there = tf.reshape(mask[name] > 0, [-1] + [1] * (x[name].shape.rank - 1))
                found[name] = tf.where(there, x[name], tf.zeros([], x[name].dtype))
        return found

    def _check_names(self, names: Sequence[str] | None) -> None:
        known = [modality.name for modality in self.targets]
        if isinstance(names, str):
            raise UserError(f"names is a list of modalities, not {names!r}")
        unknown = [name for name in names or () if name not in known]
        if unknown:
            listed = ", ".join(map(repr, known))
            raise UserError(f"names has {unknown[0]!r}; {self.name} generates {listed} only")
