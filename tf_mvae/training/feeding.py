"""The batches of a run, from any position of its training."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf

from tf_mvae import checks
from tf_mvae.data.buckets import Buckets
from tf_mvae.data.pipeline import CACHE_BYTES, Split, evaluation_batches, training_batches
from tf_mvae.data.sharding import WHOLE, Part
from tf_mvae.errors import UserError
from tf_mvae.settings import Setting
from tf_mvae.training.checkpoints import Position
from tf_mvae.training.config import RunConfig
from tf_mvae.training.incomplete import batch_composition
from tf_mvae.training.parts import make_modalities

__all__ = ["SETTINGS", "Feed"]

SETTINGS = (
    Setting("batch_size", 100, "Number of examples in a batch.", checks.positive_integer),
    Setting(
        "shuffle_buffer",
        100_000,
        "Size of the shuffle buffer, in examples.",
        checks.positive_integer,
    ),
    Setting(
        "input_streams",
        1,
        "Number of streams that read and shuffle parts of the training data separately, "
        "so that each of several processes reads only its own files: 1, or a multiple of "
        "the number of replicas.",
        checks.positive_integer,
    ),
    Setting(
        "bucket_batches",
        0,
        "Number of batches that are sorted by length together, so that a batch has "
        "sentences of similar lengths; 0: batches are random, with length --max_length.",
        checks.non_negative_integer,
    ),
    Setting(
        "cache_gb",
        2.0,
        "Splits of at most this size (in GB) are kept in memory; larger ones are read in "
        "every epoch.",
        checks.non_negative,
        is_recorded=False,
    ),
    Setting(
        "data_service",
        (),
        "Addresses grpc://HOST:PORT of tf.data services (`python -m "
        "tf_mvae.data_service`) that make the training batches; several processes use "
        "them in turn.",
        is_recorded=False,
    ),
)


@dataclasses.dataclass(frozen=True)
class Feed:
    """The batches of one process of a run.

    Attributes:
        config: The run's configuration.
        splits: The run's `train` and `validation` examples.
        part: The rows of every training batch that this process uses.
        cache_bytes: The largest size of a split, in bytes, that is kept in memory.
        services: Addresses of `tf.data` services that make the training batches, assigned to the
            processes in turn; empty: no service.
    """

    config: RunConfig
    splits: Mapping[str, Split]
    part: Part = WHOLE
    cache_bytes: int = CACHE_BYTES
    services: Sequence[str] = ()

    @property
    def steps_per_epoch(self) -> int:
        """The number of batches of an epoch."""
        return self.splits["train"].steps_per_epoch(self.config.batch_size)

    def training(self, here: Position) -> tf.data.Dataset:
        """Returns the training batches from a position of the run to its end.

        Args:
            here: The position.

        Raises:
            UserError: `input_streams` does not fit the number of replicas, `bucket_batches` is set
                without a sequence, or a service does not answer.
        """
        config, split = self.config, self.splits["train"]
        turn = self.part.first // self.part.count
        return training_batches(
            split,
            config.batch_size,
            config.epochs,
            config.seed,
            config.shuffle_buffer,
            here.epoch,
            here.step_in_epoch,
            batch_composition(config, split),
            config.input_streams,
            self.part,
            self.cache_bytes,
            self.services[turn % len(self.services)] if self.services else None,
            self._buckets(),
        )

    def first(self) -> Any:
        """Returns the first batch of the run."""
        return next(iter(self.training(Position())))

    def _buckets(self) -> Buckets | None:
        """Returns how to sort sentences by length; None without `bucket_batches`."""
        if not self.config.bucket_batches:
            return None
        named = [m for m in make_modalities(self.config) if m.likelihood.is_sequence]
        if not named:
            raise UserError(
                f"--bucket_batches sorts sentences by length, and {self.config.experiment} has no "
                "sequence; remove the flag"
            )
        return Buckets(tuple(m.name for m in named), self.config.bucket_batches)

    def validation(self) -> tf.data.Dataset:
        """Returns all batches of the validation split, the same for every process."""
        return evaluation_batches(
            self.splits["validation"], self.config.batch_size, self.config.seed, self.cache_bytes
        )
