"""One process of those that train together: `python -m tests.training.replicas_worker`.

It trains the runs that its arguments name: `digits`, or `group`, 18 attributes of which half are
missing.
"""

import pathlib
import sys

import numpy as np
import tensorflow as tf

from tf_mvae.data.pipeline import Split
from tf_mvae.distributions import likelihoods
from tf_mvae.experiments.registry import Experiment, register
from tf_mvae.group import ModalityGroup
from tf_mvae.layers import grouped_mlp_decoder, grouped_mlp_encoder, mlp_decoder, mlp_encoder
from tf_mvae.modality import Modality
from tf_mvae.training import RunConfig, finishing, make_strategy, train

ATTRIBUTES = [f"a{number}" for number in range(18)]
_SIZES = {"train": 600, "validation": 70, "test": 40}


def _load(split, data_dir):
    rng = np.random.default_rng(list(_SIZES).index(split))
    attributes = rng.integers(2, size=[_SIZES[split], 18]).astype(np.float32)
    image = 40 * attributes[:, :16].reshape(-1, 4, 4, 1) + rng.uniform(
        size=[_SIZES[split], 4, 4, 1]
    )
    x = {"image": image.astype(np.uint8), "attributes": attributes}
    return Split(tf.data.Dataset.from_tensor_slices({"x": x}), _SIZES[split])


def _modalities(likelihood_weight, cross_weight):
    group = grouped_mlp_encoder([8], num_classes=2), grouped_mlp_decoder([], [8])
    image = mlp_encoder([16]), mlp_decoder([4, 4, 1], [16])
    return [
        Modality("image", likelihoods.Bernoulli([4, 4, 1]), *image),
        ModalityGroup("attributes", ATTRIBUTES, likelihoods.Bernoulli([]), *group),
    ]


register(Experiment("tiny_group", "A tiny group", _load, _modalities))

COMMON = {"latent_dim": 8, "epochs": 1, "annealing_epochs": 1, "num_samples": 2}
RUNS = {
    "digits": {"experiment": "digits", "jit_compile": False},
    "group": {
        "experiment": "tiny_group",
        "num_random_subsets": 1,
        "missing_rate": {"attributes": 0.5, "image": 0.2},
        "batch_size": 40,
        "input_streams": 4,
    },
}

EXPORTED = "digits"  # an export takes as long as the training


def main(strategy: str, num_logical_cpus: int, run_dir: str, digits_dir: str, *names: str) -> None:
    """Trains some of `RUNS` one after the other, each in a directory of its name."""
    finishing.write_pictures = lambda *_: []  # they take as long as the training
    export = finishing._replace_saved_model
    strategy = make_strategy(strategy, num_logical_cpus)
    for name in names:
        finishing._replace_saved_model = export if name == EXPORTED else lambda *_: None
        config = RunConfig(
            **COMMON, **RUNS[name], data_dir=digits_dir if name == "digits" else None
        )
        train(config, pathlib.Path(run_dir) / name, picture_epochs=1000, strategy=strategy)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), *sys.argv[3:])
