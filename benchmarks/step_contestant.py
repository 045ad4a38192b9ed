"""Our own contestants of `training_step.py`: `python step_contestant.py FOLDER VARIANT`.

`xla` and `graph` call `model.train_step` from a `tf.function`, compiled by XLA and not; `fit_xla`
and `fit_graph` are `model.fit`, likewise.
"""

import argparse
import os
import pathlib
import statistics
import time
from typing import Any

from peers import step_protocol

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def make(folder: pathlib.Path, variant: str, steps_per_epoch: int) -> dict[str, Any]:
    """Loads the model and returns what can be asked of it."""
    import keras
    import numpy as np
    import step_setups
    import tensorflow as tf

    from tf_mvae.data.pipeline import Split, training_batches

    compiled = variant.endswith("xla")
    model, batch = step_setups.load(folder, compiled, steps_per_epoch)
    weights = [v.numpy() for v in model.variables]
    size = len(next(iter(batch["x"].values())))

    def bare(number: int) -> float:
        begin = time.perf_counter()
        for _ in range(number):
            last = step(batch)
        float(last["loss"])  # Waits for it.
        return time.perf_counter() - begin

    class Clock(keras.callbacks.Callback):
        def on_train_batch_end(self, index, logs=None):
            self.times.append(time.perf_counter())

    clock = Clock()
    options = tf.data.Options()
    options.autotune.enabled = False  # An iterator's end could wait for it.

    def fit(number: int) -> float:
        """Times steps between the ends of batches: what an epoch begins and ends with is out."""
        clock.times = []
        batches = tf.data.Dataset.from_tensors(batch).repeat(number + 1).with_options(options)
        model.fit(batches, verbose=0, callbacks=[clock])
        return clock.times[-1] - clock.times[0]

    step = tf.function(model.train_step, jit_compile=compiled)
    run = fit if variant.startswith("fit") else bare

    def first_step() -> dict[str, float]:
        begin = time.perf_counter()
        run(1)
        return {"seconds": time.perf_counter() - begin}

    @tf.function(jit_compile=compiled)
    def evaluate():
        with tf.GradientTape() as tape:
            loss = model.elbo(batch, seed=step_setups.check_seed).loss
        gradients = tape.gradient(loss, [v.value for v in model.trainable_variables])
        return loss, tf.linalg.global_norm([tf.convert_to_tensor(g) for g in gradients])

    def check() -> dict[str, float]:
        for variable, value in zip(model.variables, weights, strict=True):
            variable.assign(value)
        loss, norm = evaluate()
        return {"loss": float(loss), "gradient_norm": float(norm)}

    batches = []

    def epoch(file: str, seed: int, epochs: int) -> dict[str, float]:
        """Trains for the next of so many epochs on the data of a file."""
        if not batches:
            with np.load(file, allow_pickle=False) as arrays:
                data = {"x": dict(arrays)}
            number = len(next(iter(data["x"].values())))
            split = Split(tf.data.Dataset.from_tensor_slices(data), number)
            batches.append(iter(training_batches(split, size, epochs, seed)))
        begin = time.perf_counter()
        for _ in range(steps_per_epoch):
            last = step(next(batches[0]))
        float(last["loss"])
        return {"seconds": time.perf_counter() - begin, "steps": steps_per_epoch}

    def write(file: str) -> dict[str, int]:
        arrays = step_setups.weights_of(model)
        np.savez(file, **arrays)
        return {"arrays": len(arrays)}

    def matmul(dim: int, repetitions: int = 5) -> float:
        """Returns operations a second of a large product of matrices."""
        rng = np.random.default_rng(0)
        one, other = (tf.constant(rng.normal(size=[dim, dim]), tf.float32) for _ in range(2))
        times = []
        for _ in range(repetitions + 1):
            begin = time.perf_counter()
            tf.matmul(one, other).numpy()
            times.append(time.perf_counter() - begin)
        return 2 * dim**3 / statistics.median(times[1:])

    def arithmetic() -> dict[str, int]:
        """Counts what is compiled."""
        import hlo

        text = step.experimental_get_compiler_ir(batch)(stage="hlo")
        return {"compiled": hlo.operations(text)}

    return {
        "first_step": first_step,
        "steps": lambda number: {"seconds": run(number), "examples": number * size},
        "check": check,
        "memory": step_protocol.peak_memory,
        "matmul": matmul,
        "epoch": epoch,
        "write": write,
        "arithmetic": arithmetic,
        "about": lambda: {
            "versions": {"tensorflow": tf.__version__, "keras": keras.__version__},
            "traces": step.experimental_get_tracing_count(),
        },
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("variant", choices=["xla", "graph", "fit_xla", "fit_graph"])
    parser.add_argument("--steps_per_epoch", type=int, default=1, help="for the annealing")
    given = parser.parse_args()
    step_protocol.serve(lambda: make(given.folder, given.variant, given.steps_per_epoch))
