"""Compares our importance-sampled joint log-likelihood with MultiVae's, in value and in speed.

`python benchmarks/likelihood.py --peer_python=PATH` estimates log p(image, label) of the same
examples under the same weights with `tf_mvae.evaluation.ImportanceSampler` and, in a Python
environment of its own, with MultiVae's `compute_joint_nll`; the two take turns, and so does a
large matrix product that shows what the processor can do. `--memory` measures our peak memory
with very many samples instead. Both print a table and write their part of
`benchmarks/results/likelihood.json`; `benchmarks/README.md` has the commands.
"""

import argparse
import json
import math
import os
import pathlib
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import contestants
import keras
import numpy as np
import tensorflow as tf
from matmul import matmul_rate

import tf_mvae
from tf_mvae.data.binarization import binarize
from tf_mvae.data.pipeline import evaluation_batches, training_batches
from tf_mvae.evaluation import ImportanceSampler
from tf_mvae.evaluation.importance_sampling import chunk_seed
from tf_mvae.experiments import registry
from tf_mvae.experiments.mnist import image_and_label_modalities
from tf_mvae.ops import random
from tf_mvae.training import load_run

HERE = pathlib.Path(__file__).parent
PEER = HERE / "peers" / "multivae_likelihood.py"
NAMES = ["image", "label"]
LATENT_DIM = 64
TOLERANCE = 0.05  # nats
MEMORY_LIMIT = 2 * 2**30  # bytes

# Both estimators draw the same noise for so many examples and samples, which are few enough
# for our sampler to take in one chunk.
SHARED_EXAMPLES, SHARED_SAMPLES = 20, 200


class Subject(NamedTuple):
    """What is measured: a model and examples of its data.

    Attributes:
        model: A model of an image and a label.
        batch: `image`, float32 `[examples, 28, 28, 1]` of 0 and 1, and `label`, int32
            `[examples]`.
        source: Where the weights come from, in words.
    """

    model: tf_mvae.MVAE
    batch: dict[str, np.ndarray]
    source: str


# What is measured ---------------------------------------------------------------------


def subject(options: argparse.Namespace, number: int, train: bool = True) -> Subject:
    """Loads a run, or makes a model and trains it for a moment on digits that need no network.

    Args:
        options: The command line.
        number: How many test examples to take.
        train: Whether a model that is made here is trained.
    """
    if options.run_dir:
        run = load_run(options.run_dir, data_dir=options.data_dir)
        source = f"a run of {run.config.experiment}, {run.config.epochs} epochs"
        return Subject(run.model, test_examples(run.split("test"), number), source)
    keras.utils.set_random_seed(0)
    experiment = registry.get("digits")
    model = tf_mvae.MVAE(image_and_label_modalities({}, {}), latent_dim=LATENT_DIM)
    if train:
        print(f"training for {options.epochs} epochs", flush=True)
        split = binarize(experiment.load("train", options.data_dir), "threshold")
        model.compile(keras.optimizers.Adam(1e-3))
        model.fit(
            training_batches(split, 100, options.epochs, seed=0),
            epochs=options.epochs,
            steps_per_epoch=split.num_examples // 100,
            verbose=0,
        )
    source = f"digits, {options.epochs} epochs" if train else "untrained"
    return Subject(model, test_examples(experiment.load("test", options.data_dir), number), source)


def test_examples(split: Any, number: int) -> dict[str, np.ndarray]:
    """Returns the first examples of a split, their images made black and white.

    MultiVae's Bernoulli takes nothing but zeros and ones.
    """
    if split.num_examples < number:
        raise SystemExit(f"there are {split.num_examples} test examples, fewer than {number}")
    x = next(iter(evaluation_batches(split, number)))["x"]
    return {
        "image": (x["image"].numpy() >= 128).astype(np.float32),
        "label": x["label"].numpy().astype(np.int32),
    }


def linear_layers(model: tf_mvae.MVAE) -> dict[str, np.ndarray]:
    """Returns the model's matrices and biases by network and place, as the peer reads them.

    Raises:
        SystemExit: The model has other networks than the peer can rebuild.
    """
    found = {}
    if [modality.name for modality in model.modalities] != NAMES or type(model) is not tf_mvae.MVAE:
        raise SystemExit(f"the run must be one of --model=mvae with {NAMES}")
    for modality in model.modalities:
        networks = {
            "encoder": [*modality.encoder.layers, modality.expert_head],
            "decoder": modality.decoder.layers,
        }
        for what, layers in networks.items():
            with_weights = [layer for layer in layers if layer.weights]
            for index, layer in enumerate(with_weights):
                if not isinstance(layer, keras.layers.Dense | keras.layers.Embedding):
                    raise SystemExit(f"{modality.name}: {layer.name} is no linear layer")
                last = index == len(with_weights) - 1
                activation = getattr(layer, "activation", keras.activations.silu)
                if activation is not keras.activations.get("linear" if last else "silu"):
                    raise SystemExit(f"{modality.name}: {layer.name} has another activation")
                prefix = f"{modality.name}.{what}.{index}"
                for part, value in zip(("kernel", "bias"), layer.get_weights(), strict=False):
                    found[f"{prefix}.{part}"] = value
    return found


def flops_of_a_sample(layers: Mapping[str, np.ndarray]) -> int:
    """Returns the operations that the matrix products of decoding one latent need."""
    kernels = [v for k, v in layers.items() if ".decoder." in k and k.endswith(".kernel")]
    return sum(2 * kernel.size for kernel in kernels)


# How it is measured -------------------------------------------------------------------


def ask_peer(options: argparse.Namespace, file: pathlib.Path, *flags: str) -> dict[str, Any]:
    """Runs MultiVae in its own environment and returns what it answers."""
    command = [options.peer_python, str(PEER), str(file), *flags]
    # A path of ours would show the other Python packages that are not its own.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(
        command, capture_output=True, text=True, env=environment, check=False, timeout=7200
    )
    if done.returncode:
        raise SystemExit(f"MultiVae failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def ours(sampler: ImportanceSampler, batch: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """Estimates with our sampler and takes the time."""
    start = time.perf_counter()
    estimate = sampler(batch, target=NAMES, proposal=NAMES, seed=seed)
    values = estimate.log_likelihood.numpy().astype(np.float64)
    seconds = time.perf_counter() - start
    return {
        "mean": float(values.mean()),
        "values": values.tolist(),
        "seconds": seconds,
        "effective_sample_size": float(estimate.effective_sample_size.numpy().mean()),
        "delta_method_error": float(np.linalg.norm(estimate.standard_error.numpy())) / len(values),
    }


def shared_noise(
    options: argparse.Namespace, model: tf_mvae.MVAE, batch: Mapping[str, Any], folder: pathlib.Path
) -> dict[str, float]:
    """Compares both estimators on the same random draws, where no sampling error is left.

    Both run as they are: ours draws its noise, and the peer is handed the same numbers.
    """
    number = min(SHARED_EXAMPLES, len(batch["label"]))
    few = {name: value[:number] for name, value in batch.items()}
    seed = [7, 0]
    noise = random.stateless_normal(
        [SHARED_SAMPLES, number, model.latent_dim], chunk_seed(tf.constant(seed), 0)
    )
    file = folder / "shared.npz"
    np.savez(file, **linear_layers(model), **few, noise=noise.numpy())
    answer = ask_peer(options, file, f"--num_samples={SHARED_SAMPLES}")
    sampler = ImportanceSampler(model, SHARED_SAMPLES, max_rows=SHARED_SAMPLES * number)
    values = sampler(few, target=NAMES, proposal=NAMES, seed=seed).log_likelihood.numpy()
    return {
        "examples": number,
        "num_samples": SHARED_SAMPLES,
        "largest_difference": float(np.abs(values - np.array(answer["values"])).max()),
    }


# The two modes ------------------------------------------------------------------------


def compare(options: argparse.Namespace) -> dict[str, Any]:
    """Runs both estimators in turn and sums up what they say and how long they take."""
    model, batch, source = subject(options, options.examples)
    layers = linear_layers(model)
    operations = flops_of_a_sample(layers) * options.examples * options.num_samples
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        file = folder / "examples.npz"
        np.savez(file, **layers, **batch)
        shared = shared_noise(options, model, batch, folder)
        sampler = ImportanceSampler(model, options.num_samples)
        first = ours(sampler, batch, seed=0)  # Compiles.
        rounds = []
        for index in range(1, options.rounds + 1):
            print(f"round {index} of {options.rounds}", flush=True)
            seed = 1000 * index
            rounds.append(
                {
                    "matmul_gflops": matmul_rate(options.matmul_size, 3) / 1e9,
                    "ours": ours(sampler, batch, seed),
                    "multivae": {
                        size: ask_peer(
                            options,
                            file,
                            f"--num_samples={options.num_samples}",
                            f"--batch_size_k={size}",
                            f"--seed={seed + place}",
                        )
                        for place, size in enumerate(options.peer_batch_sizes)
                    },
                }
            )
        print("MultiVae once more, example by example, for the sampling error", flush=True)
        each = ask_peer(options, file, f"--num_samples={options.num_samples}", "--each")

    our_means = [result["ours"]["mean"] for result in rounds]
    their_means = [answer["mean"] for r in rounds for answer in r["multivae"].values()]
    # Two estimates of an example differ by chance only, whoever made them; this is how much.
    differences = np.array(rounds[0]["ours"]["values"]) - np.array(each["values"])
    error_of_one = float(differences.std(ddof=1)) / math.sqrt(2 * options.examples)
    difference = statistics.mean(our_means) - statistics.mean(their_means)
    error = error_of_one * math.sqrt(1 / len(our_means) + 1 / len(their_means))
    our_seconds = statistics.median(r["ours"]["seconds"] for r in rounds)
    their_seconds = {
        size: statistics.median(r["multivae"][size]["seconds"] for r in rounds)
        for size in options.peer_batch_sizes
    }
    matmul = statistics.median(r["matmul_gflops"] for r in rounds)
    gflops = operations / our_seconds / 1e9
    agree = abs(difference) <= TOLERANCE + 2 * error and shared["largest_difference"] <= TOLERANCE
    for result in rounds:
        for answer in (result["ours"], *result["multivae"].values()):
            for detail in ("values", "versions", "threads"):
                answer.pop(detail, None)
    return {
        "settings": {
            "weights": source,
            "examples": options.examples,
            "num_samples": options.num_samples,
            "rounds": options.rounds,
            "matmul_size": options.matmul_size,
        },
        "versions": {**versions(), **{k: each["versions"][k] for k in ("multivae", "torch")}},
        **contestants.machine(),
        "torch_threads": each["threads"],
        "load_average_before": load,
        "log_likelihood": {
            "ours": statistics.mean(our_means),
            "multivae": statistics.mean(their_means),
            "difference": difference,
            "sampling_error_of_difference": error,
            "sampling_error_of_one_estimate": error_of_one,
            "sampling_error_by_delta_method": rounds[0]["ours"]["delta_method_error"],
            "estimates": {"ours": len(our_means), "multivae": len(their_means)},
            "effective_sample_size": rounds[0]["ours"]["effective_sample_size"],
            "shared_noise": shared,
            "agree": bool(agree),
        },
        "examples_per_second": {
            "ours": options.examples / our_seconds,
            "multivae": {size: options.examples / s for size, s in their_seconds.items()},
            "ours_over_fastest_multivae": min(their_seconds.values()) / our_seconds,
        },
        "gflops": {
            "flops_of_a_sample": flops_of_a_sample(layers),
            "ours": gflops,
            "multivae": {size: operations / s / 1e9 for size, s in their_seconds.items()},
            "matmul": matmul,
            "ours_over_matmul": gflops / matmul,
        },
        "seconds": {
            "first_call": first["seconds"],
            "ours": our_seconds,
            "multivae": their_seconds,
        },
        "rounds": rounds,
    }


def measure_memory(options: argparse.Namespace) -> dict[str, Any]:
    """Estimates with very many samples and reports this process's peak memory."""
    model, batch, source = subject(options, options.memory_examples, train=False)
    before = peak_memory()
    sampler = ImportanceSampler(model, options.memory_samples)
    result = ours(sampler, batch, seed=0)
    peak = peak_memory()
    return {
        "settings": {
            "weights": source,
            "examples": options.memory_examples,
            "num_samples": options.memory_samples,
        },
        "versions": versions(),
        "seconds_with_compilation": result["seconds"],
        "log_likelihood": {
            "ours": result["mean"],
            "sampling_error_by_delta_method": result["delta_method_error"],
        },
        "peak_bytes": peak,
        "peak_bytes_before_sampling": before,
        "limit_bytes": MEMORY_LIMIT,
        "within_limit": peak < MEMORY_LIMIT,
    }


def peak_memory() -> int:
    """Returns the most memory that this process has held, in bytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def versions() -> dict[str, str]:
    """Returns the versions of what runs in this process."""
    return {
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
    }


# What is said about it ----------------------------------------------------------------


def print_comparison(result: Mapping[str, Any]) -> None:
    """Prints what `compare` found."""
    settings, value = result["settings"], result["log_likelihood"]
    speed, gflops, seconds = result["examples_per_second"], result["gflops"], result["seconds"]
    shared = value["shared_noise"]
    print(
        f"\nlog p(image, label): {settings['examples']} examples, {settings['num_samples']} "
        f"samples, medians of {settings['rounds']} rounds; weights: {settings['weights']}\n"
    )
    print(f"{'':32s}{'nats':>10s}{'seconds':>10s}{'examples/s':>12s}{'GFLOP/s':>10s}")
    print(
        f"{'tf_mvae':32s}{value['ours']:10.3f}{seconds['ours']:10.2f}{speed['ours']:12.2f}"
        f"{gflops['ours']:10.1f}"
    )
    for size in seconds["multivae"]:
        mean = statistics.mean(r["multivae"][size]["mean"] for r in result["rounds"])
        print(
            f"{f'MultiVae, batch_size_K={size}':32s}{mean:10.3f}{seconds['multivae'][size]:10.2f}"
            f"{speed['multivae'][size]:12.2f}{gflops['multivae'][size]:10.1f}"
        )
    size = settings["matmul_size"]
    print(f"{f'tf.matmul, {size} x {size}, float32':64s}{gflops['matmul']:10.1f}\n")
    print(
        f"difference {value['difference']:+.4f} nats, its sampling error "
        f"{value['sampling_error_of_difference']:.4f}; with shared noise at most "
        f"{shared['largest_difference']:.6f} nats an example\n"
        f"the estimates {'agree' if value['agree'] else 'DISAGREE'}; ours takes "
        f"{gflops['ours_over_matmul']:.0%} of the matrix product's rate and is "
        f"{speed['ours_over_fastest_multivae']:.2f} times as fast as MultiVae at its best\n"
        f"our first call, which compiles, took {seconds['first_call']:.2f} seconds"
    )
    if result["load_average_before"] > result["cores"] / 2:
        print("other work kept the processor busy: measure speed again when it is quiet")


def print_memory(result: Mapping[str, Any]) -> None:
    """Prints what `measure_memory` found."""
    settings, mebi = result["settings"], 2**20
    print(
        f"\n{settings['num_samples']} samples of {settings['examples']} examples: "
        f"{result['log_likelihood']['ours']:.3f} nats in "
        f"{result['seconds_with_compilation']:.1f} seconds\n"
        f"peak memory {result['peak_bytes'] / mebi:.0f} MiB, "
        f"{result['peak_bytes_before_sampling'] / mebi:.0f} MiB of it before sampling began; "
        f"the limit of {result['limit_bytes'] / mebi:.0f} MiB is "
        f"{'kept' if result['within_limit'] else 'EXCEEDED'}"
    )


def write(path: pathlib.Path, part: str, result: Mapping[str, Any]) -> None:
    """Puts a result into the file and leaves the file's other part as it is."""
    whole = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    whole[part] = result
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(whole, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def main() -> int:
    """Measures what the command line asks for; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer_python", help="the python of MultiVae's environment")
    parser.add_argument("--run_dir", help="a finished run; a short training where left out")
    parser.add_argument("--data_dir", help="where the data are, if not where the run had them")
    parser.add_argument("--epochs", type=int, default=2, help="of the short training")
    parser.add_argument("--examples", type=int, default=200)
    parser.add_argument("--num_samples", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--peer_batch_sizes",
        type=lambda text: [str(int(number)) for number in text.split(",")],
        default=["100", "1000"],
        help="how many samples MultiVae decodes at a time; its default, 100, and all at once",
    )
    parser.add_argument("--matmul_size", type=int, default=4096)
    parser.add_argument("--memory", action="store_true", help="measure our peak memory instead")
    parser.add_argument("--memory_examples", type=int, default=4)
    parser.add_argument("--memory_samples", type=int, default=100_000)
    parser.add_argument("--output", type=pathlib.Path, default=HERE / "results" / "likelihood.json")
    options = parser.parse_args()
    if options.memory:
        result = measure_memory(options)
        write(options.output, "memory", result)
        print_memory(result)
        return 0 if result["within_limit"] else 1
    if not options.peer_python:
        parser.error("--peer_python is needed; benchmarks/README.md says how to make one")
    result = compare(options)
    write(options.output, "comparison", result)
    print_comparison(result)
    return 0 if result["log_likelihood"]["agree"] else 1


if __name__ == "__main__":
    sys.exit(main())
