"""Our side of a run of `field.py`: `python field_contestant.py FOLDER DATA`."""

import argparse
import os
import pathlib
import time
from collections.abc import Callable
from typing import Any

from peers import step_protocol

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


class Ours:
    """A model, its data, and what can be asked of it."""

    def __init__(self, folder: pathlib.Path, data: pathlib.Path):
        """Loads model and data."""
        import field_setups
        import numpy as np
        import tensorflow as tf

        self._np, self._tf = np, tf
        self._model = field_setups.load(folder)
        self._subsets = field_setups.subsets()
        parts = {"x": dict(np.load(data / "train.npz", allow_pickle=False))}
        if (data / "masks.npz").exists():
            masks = np.load(data / "masks.npz", allow_pickle=False)
            parts["mask"] = {name: masks[name].astype(np.float32) for name in masks.files}
        tensors = tf.nest.map_structure(tf.constant, parts)
        order = tf.data.Dataset.from_tensor_slices(np.load(folder / "order.npy"))

        def gather(rows):
            return tf.nest.map_structure(lambda value: tf.gather(value, rows), tensors)

        options = tf.data.Options()
        options.autotune.enabled = False  # an iterator's end could wait for it
        self._dataset = order.map(gather).prefetch(2).with_options(options)
        self._batches = iter(self._dataset)
        self._step = tf.function(self._model.train_step)
        self._test = dict(np.load(data / "test.npz", allow_pickle=False))

    def functions(self) -> dict[str, Callable[..., Any]]:
        """Returns what can be asked, by name."""
        names = ("train", "fit_sampler", "generate", "about")
        return {name: getattr(self, name) for name in names} | {"memory": step_protocol.peak_memory}

    def train(self, steps: int) -> dict[str, float]:
        """Takes the next steps of the order."""
        begin = time.perf_counter()
        for _ in range(steps):
            last = self._step(next(self._batches))
        loss = float(last["loss"])  # waits for it
        return {"seconds": time.perf_counter() - begin, "loss": loss}

    def fit_sampler(self, steps: int, kind: str, guidance: int) -> dict[str, float]:
        """Fits a sampler to the trained model, which then generates from it."""
        from tf_mvae import samplers
        from tf_mvae.training.sampler import KINDS

        begin = time.perf_counter()
        batches = self._dataset.repeat().take(steps)
        sizes = self._model.latent_dim, self._model.num_columns
        sampler = KINDS[kind](*sizes, guidance=guidance)
        samplers.fit(self._model, batches, sampler, epochs=1, verbose=0)
        return {"seconds": time.perf_counter() - begin}

    def generate(
        self, file: str, temperature: float = 1.0, batch_size: int = 250
    ) -> dict[str, int]:
        """Writes what is generated from every subset of the test examples, and from nothing."""
        np, model, number = self._np, self._model, len(next(iter(self._test.values())))
        arrays = {}
        for place, names in enumerate(self._subsets):
            parts = []
            for start in range(0, number, batch_size):
                part = {n: v[start : start + batch_size] for n, v in self._test.items()}
                size = len(part[names[0]])
                mask = {n: np.full(size, n in names, np.float32) for n in part}
                drawn = model.generate(part, 1, mask, [place, start], temperature)
                parts.append({n: v[0].numpy() for n, v in drawn.items() if n not in names})
            for name in parts[0]:
                arrays[f"{place}/{name}"] = np.concatenate([part[name] for part in parts])
        drawn = [model.sample(batch_size, seed=[99, k]) for k in range(-(-number // batch_size))]
        for name in self._test:
            arrays[f"prior/{name}"] = np.concatenate([part[name] for part in drawn])[:number]
        np.savez(file, **{n: np.rint(255 * v.clip(0, 1)).astype("u1") for n, v in arrays.items()})
        return {"arrays": len(arrays)}

    def about(self) -> dict[str, Any]:
        """Returns versions."""
        return {"versions": {"tensorflow": self._tf.__version__}}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("data", type=pathlib.Path)
    given = parser.parse_args()
    step_protocol.serve(lambda: Ours(given.folder, given.data).functions())
