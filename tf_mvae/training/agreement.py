"""Checks that all processes of a distributed run have the same settings and data."""

import hashlib
import json
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

import tf_mvae
from tf_mvae.data.pipeline import Split
from tf_mvae.errors import UserError
from tf_mvae.training.config import RunConfig

__all__ = ["check_agreement", "of_chief", "settings_that_matter"]


def settings_that_matter(
    config: RunConfig, splits: Mapping[str, Split], checkpoint_steps: int
) -> dict[str, str]:
    """Returns the settings that must be the same in all processes of a run, as text by name.

    These are the flags that affect the result, `checkpoint_steps`, the versions of tf_mvae and
    TensorFlow, the number of examples of each split, and digests of the first example and of the
    run's assets.

    Args:
        config: The run's configuration.
        splits: The run's `train` and `validation` examples.
        checkpoint_steps: Steps between checkpoints.
    """
    flags = {"experiment": config.experiment, "model": config.model}
    flags |= {s.name: v for s, v in config.items() if not (s.is_place or s.is_free)}
    flags["checkpoint_steps"] = checkpoint_steps
    found = {f"--{name}": json.dumps(value, sort_keys=True) for name, value in flags.items()}
    found["version of tf_mvae"] = tf_mvae.__version__
    found["version of TensorFlow"] = tf.__version__
    for name in ("train", "validation"):
        found[f"number of {name} examples"] = str(splits[name].num_examples)
        found[f"first {name} example"] = _digest(splits[name].dataset)
    if config.assets_dir is not None:
        found["assets made of the training data"] = _digest_of_files(config.assets_dir)
    return found


def check_agreement(strategy: tf.distribute.Strategy, settings: Mapping[str, str]) -> None:
    """Checks that this process has the same settings as the chief; all processes call it.

    Args:
        strategy: The distribution strategy, with one process or several.
        settings: The settings of this process by name (`settings_that_matter`).

    Raises:
        UserError: The settings of a process differ from the chief's. All processes raise it, so
            none of them waits for the others.
    """
    text = json.dumps(dict(settings), sort_keys=True).encode()
    (length,) = of_chief(strategy, [len(text)])
    own = np.frombuffer(text.ljust(length, b" ")[:length], np.uint8)
    chief = json.loads(bytes(of_chief(strategy, own.tolist())))
    names = sorted(chief)
    differ = [name for name in {**chief, **settings} if chief.get(name) != settings.get(name)]
    # One vote per name of the chief's settings, and one for names that the chief does not have.
    noted = [*(name in differ for name in names), bool(set(differ) - set(names))]
    votes = _sum(strategy, tf.constant(noted, tf.int64))
    if not votes.any():
        return
    advice = "start every process with the same flags and data"
    if differ:
        words = [
            f"{n}={settings.get(n, 'nothing')} (the chief has {chief.get(n, 'nothing')})"
            for n in differ
        ]
        raise UserError(f"this process differs from the chief: {', '.join(words)}; {advice}")
    words = [n for n, vote in zip([*names, "names of flags"], votes, strict=True) if vote]
    raise UserError(f"another process differs from the chief in {', '.join(words)}; {advice}")


def of_chief(strategy: tf.distribute.Strategy, values: Sequence[int]) -> list[int]:
    """Returns the chief's integers in every process.

    Args:
        strategy: The distribution strategy.
        values: The integers of this process; their number must be the same in all processes.
    """
    return _sum(strategy, tf.constant(values, tf.int64), of_chief=True).tolist()


def _sum(strategy: tf.distribute.Strategy, value: tf.Tensor, of_chief: bool = False) -> np.ndarray:
    """Sums a value over all replicas, or returns the chief's: a sum with zeros of the others."""

    def replica() -> tf.Tensor:
        context = tf.distribute.get_replica_context()
        first = tf.equal(context.replica_id_in_sync_group, 0)  # the chief's
        own = tf.where(first, value, tf.zeros_like(value)) if of_chief else value
        return context.all_reduce(tf.distribute.ReduceOp.SUM, own)

    found = tf.function(lambda: strategy.run(replica), autograph=False)()
    return strategy.experimental_local_results(found)[0].numpy()


def _digest(dataset: tf.data.Dataset) -> str:
    """Returns a digest of the first example."""
    parts = []
    for example in dataset.take(1).as_numpy_iterator():
        for part in tf.nest.flatten(example):
            array = np.asarray(part)
            parts.append(repr(array.tolist()) if array.dtype == object else array.tobytes().hex())
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:12]


def _digest_of_files(folder: str) -> str:
    """Returns a digest of the names and contents of a folder's files."""
    digest = hashlib.sha256()
    for path in sorted(p for p in pathlib.Path(folder).rglob("*") if p.is_file()):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:12]
