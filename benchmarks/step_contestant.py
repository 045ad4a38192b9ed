"""Our own contestants of `training_step.py`: `python step_contestant.py FOLDER VARIANT`.

`xla` and `graph` call `model.train_step` from a `tf.function`, compiled by XLA and not;
`several_xla` takes `SEVERAL` steps in a program; `fit_xla` (`SEVERAL` too) and `fit_graph` are
`model.fit`.
"""

import argparse
import itertools
import os
import pathlib
import time
from collections.abc import Callable
from typing import Any

from peers import step_protocol

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


SEVERAL = 10  # steps a program


class Ours:
    """A model with its batch, and what can be asked of it."""

    def __init__(self, folder: pathlib.Path, variant: str, steps_per_epoch: int):
        """Loads the model; `steps_per_epoch` is for the annealing."""
        import step_setups
        import tensorflow as tf

        self._tf, self._seed = tf, step_setups.CHECK_SEED
        self._compiled = variant.endswith("xla")
        self._model, self._batch = step_setups.load(folder, self._compiled, steps_per_epoch)
        self._weights = [v.numpy() for v in self._model.variables]
        self._size = len(next(iter(self._batch["x"].values())))
        self._steps_per_epoch, self._batches = steps_per_epoch, None
        self._step = tf.function(self._model.train_step, jit_compile=self._compiled)
        self._several = SEVERAL if variant in ("several_xla", "fit_xla") else 1
        self._model.steps_per_execution = self._several
        self._run = self._fit if variant.startswith("fit") else self._bare
        self._take = lambda batches: self._step(next(batches))
        if variant == "several_xla":
            self._model.make_train_function()
            self._take = self._model.train_function

    def functions(self) -> dict[str, Callable[..., Any]]:
        """Returns what can be asked, by name."""
        names = ("first_step", "steps", "check", "matmul", "arithmetic", "epoch", "write", "about")
        return {name: getattr(self, name) for name in names} | {"memory": step_protocol.peak_memory}

    def first_step(self) -> dict[str, float]:
        """Takes the first step: tracing and compilation are part of it."""
        begin = time.perf_counter()
        self._run(1)
        return {"seconds": time.perf_counter() - begin}

    def steps(self, number: int) -> dict[str, float]:
        """Takes steps and says how long they took."""
        return {"seconds": self._run(number), "examples": number * self._size}

    def _bare(self, number: int) -> float:
        begin = time.perf_counter()
        batches = itertools.repeat(self._batch, number)
        for _ in range(0, number, self._several):
            last = self._take(batches)
        float(last["loss"])  # Waits for it.
        return time.perf_counter() - begin

    def _fit(self, number: int) -> float:
        """Times steps between the ends of batches: what an epoch begins and ends with is out."""
        import keras

        times = []
        clock = keras.callbacks.LambdaCallback(
            on_train_batch_end=lambda index, logs: times.append(time.perf_counter())
        )
        options = self._tf.data.Options()
        options.autotune.enabled = False  # An iterator's end could wait for it.
        rounded = -(-number // self._several) * self._several
        batches = self._tf.data.Dataset.from_tensors(self._batch).repeat(rounded + self._several)
        self._model.fit(batches.with_options(options), verbose=0, callbacks=[clock])
        return (times[-1] - times[0]) * number / rounded

    def check(self) -> dict[str, float]:
        """Returns loss and gradient's norm of the set-up's weights, subsets and noise."""
        tf, model = self._tf, self._model
        for variable, value in zip(model.variables, self._weights, strict=True):
            variable.assign(value)

        @tf.function(jit_compile=self._compiled)
        def evaluate():
            with tf.GradientTape() as tape:
                loss = model.elbo(self._batch, seed=self._seed).loss
            gradients = tape.gradient(loss, [v.value for v in model.trainable_variables])
            return loss, tf.linalg.global_norm([tf.convert_to_tensor(g) for g in gradients])

        loss, norm = evaluate()
        return {"loss": float(loss), "gradient_norm": float(norm)}

    def matmul(self, dim: int, repetitions: int = 5) -> float:
        """Returns operations a second of a large product of matrices."""
        import matmul

        return matmul.matmul_rate(dim, repetitions)

    def arithmetic(self) -> dict[str, int]:
        """Counts what the compiled step does."""
        import hlo

        text = self._step.experimental_get_compiler_ir(self._batch)(stage="hlo")
        return {"compiled": hlo.operations(text)}

    def epoch(self, file: str, seed: int, epochs: int) -> dict[str, float]:
        """Trains for the next of so many epochs on the data of a file."""
        import numpy as np

        from tf_mvae.data.pipeline import Split, training_batches

        if self._batches is None:
            with np.load(file, allow_pickle=False) as arrays:
                x = dict(arrays)
            dataset = self._tf.data.Dataset.from_tensor_slices({"x": x})
            split = Split(dataset, len(next(iter(x.values()))))
            self._batches = iter(training_batches(split, self._size, epochs, seed))
        begin = time.perf_counter()
        for _ in range(self._steps_per_epoch):
            last = self._step(next(self._batches))
        float(last["loss"])
        return {"seconds": time.perf_counter() - begin, "steps": self._steps_per_epoch}

    def write(self, file: str) -> dict[str, int]:
        """Writes the weights."""
        import network_arrays
        import numpy as np

        arrays = network_arrays.weights_of(self._model)
        np.savez(file, **arrays)
        return {"arrays": len(arrays)}

    def about(self) -> dict[str, Any]:
        """Returns versions."""
        import keras

        return {"versions": {"tensorflow": self._tf.__version__, "keras": keras.__version__}}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("variant", choices=["xla", "several_xla", "graph", "fit_xla", "fit_graph"])
    parser.add_argument("--steps_per_epoch", type=int, default=1, help="for the annealing")
    given = parser.parse_args()
    step_protocol.serve(
        lambda: Ours(given.folder, given.variant, given.steps_per_epoch).functions()
    )
