"""Log-likelihoods by importance sampling, for any part of the data given any other part.

    p(x_T) ~ (1 / K) sum_k w_k,   w_k = p(x_T | z_k) p(z_k) / q(z_k | x_P),   z_k ~ q(z | x_P)

(Burda, Grosse and Salakhutdinov, ICLR 2016, equation 8), with any subset P of the
modalities for the proposal, or none: the prior. `log p(x_T | x_S)` is the difference of
`log p(x_T, x_S)` and `log p(x_S)`. On average an estimate is below the true value, and
rises to it with the number of samples.
"""

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from tf_mvae.batch import unpack
from tf_mvae.errors import UserError
from tf_mvae.modality import Modality
from tf_mvae.models import BaseVAE
from tf_mvae.ops import random
from tf_mvae.ops.importance import LogWeightSums, chunk_seed

__all__ = ["Estimate", "ImportanceSampler", "chunk_seed"]

_MAX_ROWS = 4096


class Estimate(NamedTuple):
    """An importance-sampled log-likelihood of each example, in nats.

    Attributes:
        log_likelihood: The estimate, `[batch]`; 0 where an example lacks the whole target.
        standard_error: Its standard error over the samples, `[batch]`, as the weights that
            were drawn show it: too small, by half say, where the effective sample size is
            below some tens, because the largest weights have not been met.
        effective_sample_size: `(sum w)^2 / sum w^2`, between 1 and the number of
            samples, `[batch]`.
        log_weight_variance: The variance of `log w` over the samples, `[batch]`.
        path: The estimate after some of the samples, `[chunk, batch]`.
        path_samples: After how many, `[chunk]`.
    """

    log_likelihood: tf.Tensor
    standard_error: tf.Tensor
    effective_sample_size: tf.Tensor
    log_weight_variance: tf.Tensor
    path: tf.Tensor
    path_samples: tf.Tensor


class ImportanceSampler:
    """Estimates log-likelihoods of a model, batch by batch, in bounded memory.

    Each modality's decoding is compiled once (and once more for another batch size), and
    serves every subset. Samples come in chunks of at most `max_rows` decoded rows; what they
    add up to is carried along in logarithms. A GPU multiplies in TF32 (10 bits of 23) unless
    `tf.config.experimental.enable_tensor_float_32_execution(False)` says otherwise.

    Example:

    ```python
    sampler = ImportanceSampler(model, num_samples=1000)
    batch = {"x": {"image": images, "label": labels}}
    sampler(batch, target=["image"], proposal=["image"]).log_likelihood      # log p(image)
    sampler.conditional(batch, target=["image"], given=["label"])            # log p(image | label)
    ```
    """

    def __init__(
        self,
        model: BaseVAE,
        num_samples: int = 1000,
        max_rows: int = _MAX_ROWS,
        jit_compile: bool = True,
    ):
        """Prepares a sampler.

        Args:
            model: The model.
            num_samples: K, the number of samples an example.
            max_rows: The most latents that are decoded at a time, at least one an example;
                a sequence counts as many as it has symbols.
            jit_compile: Whether XLA compiles densities and sums (networks run outside it).

        Raises:
            ValueError: A number is below 1.
        """
        if num_samples < 1 or max_rows < 1:
            raise ValueError("num_samples and max_rows must be at least 1")
        self.model = model
        self.num_samples = num_samples
        rows = max(modality.likelihood.rows_per_example for modality in model.targets)
        self._max_rows = max(1, max_rows // rows)
        self._names = [modality.name for modality in model.modalities]
        members = [n for m in model.modalities if m.mask_shape for n in m.column_names]
        self._askable = [*self._names, *members]
        # Networks run outside XLA, whose matrix products and convolutions are slower on a
        # CPU; XLA fuses the rest. Each part is traced once (a batch size), whatever is asked.
        compiled = functools.partial(tf.function, autograph=False, jit_compile=jit_compile or None)
        self._infer = tf.function(self.model._infer, autograph=False)
        self._prepare = tf.function(self._prepare_all, autograph=False)
        self._draw = compiled(_draw)
        self._add = compiled(LogWeightSums.add)
        self._log_likelihood = {
            modality.name: self._decoder(modality, compiled) for modality in model.targets
        }

    def __call__(
        self,
        batch: Any,
        target: Sequence[str] | None = None,
        proposal: Sequence[str] | None = None,
        seed: int | Sequence[int] = 0,
    ) -> Estimate:
        """Estimates `log p(x_T)`.

        For a model with conditions (a CVAE) it is `log p(x_T | conditions)`.

        Args:
            batch: `{"x": ..., "mask": ...}`; what an example lacks leaves its target, and
                its proposal.
            target: T; all that the model generates where left out. Members of a group may be
                named by themselves, here and in the proposal.
            proposal: P; T (and the model's conditions) where left out, the prior where
                empty.
            seed: A number, or two.

        Raises:
            UserError: A name is not known, or the batch does not fit the model.
        """
        generated = [modality.name for modality in self.model.targets]
        target = generated if target is None else target
        proposal = [*target, *self.model.conditions] if proposal is None else proposal
        own = set(self._names) - set(generated)
        self._check("target", target, [name for name in self._askable if name not in own])
        self._check("proposal", proposal, self._askable)
        if not target:
            raise UserError("target must name at least one modality")
        x, mask = unpack(batch, self.model.modalities)
        return self._run(x, mask, target, proposal, self.model._seed(seed))

    def conditional(
        self,
        batch: Any,
        target: Sequence[str],
        given: Sequence[str],
        proposal: Sequence[str] | None = None,
        given_proposal: Sequence[str] | None = None,
        seed: int | Sequence[int] = 0,
    ) -> Estimate:
        """Estimates `log p(x_T | x_S)`.

        Args:
            batch: `{"x": ..., "mask": ...}`.
            target: T.
            given: S, apart from T.
            proposal: For `log p(x_T, x_S)`; T and S where left out.
            given_proposal: For `log p(x_S)`; S where left out, the prior where empty.
            seed: A number, or two; the two estimates draw apart from each other.

        Returns:
            An `Estimate`: the difference, and the standard error of it; the effective
            sample size and the variance of the log weights are those of the estimate of
            `log p(x_T, x_S)`.

        Raises:
            UserError: As for a call, or T and S overlap.
        """
        both = sorted(set(target) & set(given))
        if both:
            raise UserError(f"target and given must not overlap; both have {both}")
        if set(self.model.conditions):
            if set(given) != set(self.model.conditions):
                raise UserError(f"{self.model.name} is given {self.model.conditions}, not {given}")
            return self(batch, target, proposal, seed)
        seeds = random.split(self.model._seed(seed), 2)
        whole = self(batch, [*target, *given], proposal, seeds[0])
        part = self(batch, given, given_proposal, seeds[1])
        return whole._replace(
            log_likelihood=whole.log_likelihood - part.log_likelihood,
            standard_error=tf.sqrt(whole.standard_error**2 + part.standard_error**2),
            path=whole.path - part.path,
        )

    def _check(self, what: str, names: Sequence[str], known: Sequence[str]) -> None:
        if isinstance(names, str):
            raise UserError(f"{what} is a list of names, not {names!r}")
        unknown = [name for name in names if name not in known]
        if unknown:
            raise UserError(f"{what} names {unknown[0]!r}; there are {', '.join(known)}")

    def _decoder(self, modality: Modality, compiled: Callable) -> Callable:
        """Returns a function from latents and data to `log p(x_i | z)`, `[chunk, batch]`."""
        log_prob = compiled(modality.log_prob)
        name = modality.name

        def log_likelihood(z, prepared, there):
            parameters = self.model.likelihood_parameters(z, [name], prepared)[name]
            return log_prob(parameters, prepared[name], there)

        return tf.function(log_likelihood, autograph=False)

    def _prepare_all(
        self, x: Mapping[str, tf.Tensor], mask: Mapping[str, tf.Tensor]
    ) -> dict[str, tf.Tensor]:
        return {m.name: m.prepare(x[m.name], mask[m.name]) for m in self.model.modalities}

    def _run(
        self,
        x: Mapping[str, tf.Tensor],
        mask: Mapping[str, tf.Tensor],
        target: Sequence[str],
        proposal: Sequence[str],
        seed: tf.Tensor,
    ) -> Estimate:
        size = len(next(iter(x.values())))
        chunk, number = _chunks(self.num_samples, size, self._max_rows)
        seen, asked = (_only(mask, names, self.model.modalities) for names in (proposal, target))
        posterior = self._infer(x, seen)
        prepared = self._prepare(x, mask)
        sums, path = LogWeightSums.nothing(size), []
        for index in range(number):
            z, log_weight = self._draw(posterior, chunk_seed(seed, index), chunk)
            for modality in self.model.targets:
                if not {modality.name, *modality.column_names}.isdisjoint(target):
                    name = modality.name
                    log_weight += self._log_likelihood[name](z, prepared, asked[name])
            counts = min(chunk, self.num_samples - index * chunk)
            sums = self._add(sums, log_weight, tf.constant(float(counts)))
            path.append(sums.mean_log())
        done = tf.minimum((tf.range(number) + 1) * chunk, self.num_samples)
        return Estimate(
            log_likelihood=sums.mean_log(),
            standard_error=sums.standard_error(),
            effective_sample_size=sums.effective_sample_size(),
            log_weight_variance=sums.variance(),
            path=tf.stack(path),
            path_samples=done,
        )


def _draw(posterior, seed, chunk):
    return posterior.sample_and_log_ratio(chunk, seed)


def _only(
    mask: Mapping[str, tf.Tensor], names: Sequence[str], modalities: Sequence[Modality]
) -> dict[str, tf.Tensor]:
    """Returns masks of what is named alone; a member of a group may be named by itself."""
    masks = {}
    for modality in modalities:
        chosen = float(modality.name in names)
        if modality.mask_shape and not chosen:
            chosen = tf.constant([float(member in names) for member in modality.column_names])
        masks[modality.name] = mask[modality.name] * chosen
    return masks


def _chunks(num_samples: int, batch_size: int, max_rows: int) -> tuple[int, int]:
    """Returns how many samples a chunk has, and how many chunks there are."""
    most = max(1, min(num_samples, max_rows // batch_size))
    number = math.ceil(num_samples / most)
    return math.ceil(num_samples / number), number
