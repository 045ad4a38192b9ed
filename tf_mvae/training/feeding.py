"""What a run is fed with: the batches of its splits, from wherever it stands."""

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
from tf_mvae.training.build import make_modalities
from tf_mvae.training.checkpoints import Position
from tf_mvae.training.config import RunConfig
from tf_mvae.training.incomplete import batch_composition

__all__ = ["SETTINGS", "Feed"]

SETTINGS = (
    Setting("batch_size", 100, "Examples a step.", checks.positive_integer),
    Setting("shuffle_buffer", 100_000, "Examples held for shuffling.", checks.positive_integer),
    Setting(
        "input_streams",
        1,
        "Into how many streams the training data are cut, each read and shuffled by itself: a "
        "process of several reads its own files only. A multiple of the number of replicas, or 1.",
        checks.positive_integer,
    ),
    Setting(
        "bucket_batches",
        0,
        "Batches that are made together, of sentences of like length; 0: each is random and as "
        "long as --max_length.",
        checks.non_negative_integer,
    ),
    Setting(
        "cache_gb",
        2.0,
        "Examples are kept in memory up to this, and read every epoch above it.",
        checks.non_negative,
        is_recorded=False,
    ),
    Setting(
        "data_service",
        (),
        "tf.data services (grpc://HOST:PORT, `python -m tf_mvae.data_service`) that make the "
        "training batches; processes take them in turn.",
        is_recorded=False,
    ),
)


@dataclasses.dataclass(frozen=True)
class Feed:
    """Batches for one process of a run.

    Attributes:
        config: The run's configuration.
        splits: Its `train` and `validation` examples.
        part: The rows of every training batch that this process takes.
        cache_bytes: A split is kept in memory if it takes no more than this.
        services: Addresses of `tf.data` services that make the training batches; processes
            take them in turn. None where empty.
    """

    config: RunConfig
    splits: Mapping[str, Split]
    part: Part = WHOLE
    cache_bytes: int = CACHE_BYTES
    services: Sequence[str] = ()

    @property
    def steps_per_epoch(self) -> int:
        """How many batches an epoch has."""
        return self.splits["train"].steps_per_epoch(self.config.batch_size)

    def training(self, here: Position) -> tf.data.Dataset:
        """Returns the batches from a place of the run to its end.

        Raises:
            UserError: The streams do not fit, there is no sequence to sort, or a service does
                not answer.
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
        """Returns how sentences of like length come together, if they are to."""
        if not self.config.bucket_batches:
            return None
        named = [m for m in make_modalities(self.config) if m.likelihood.is_sequence]
        if not named:
            raise UserError(
                f"--bucket_batches is for sentences; {self.config.experiment} has no sequence"
            )
        return Buckets(tuple(m.name for m in named), self.config.bucket_batches)

    def validation(self) -> tf.data.Dataset:
        """Returns the batches of the validation split, all of them for every process."""
        return evaluation_batches(
            self.splits["validation"], self.config.batch_size, self.config.seed, self.cache_bytes
        )
