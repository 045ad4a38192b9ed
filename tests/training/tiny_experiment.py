"""A tiny experiment, and `tf_mvae.train` with it: `python -m tests.training.tiny_experiment`."""

import numpy as np
import tensorflow as tf

from tf_mvae.data.pipeline import Split
from tf_mvae.distributions import likelihoods
from tf_mvae.errors import UserError
from tf_mvae.experiments.registry import Experiment, register
from tf_mvae.layers import mlp_decoder, mlp_encoder
from tf_mvae.modality import Modality

SIZES = {"train": 60, "validation": 20, "test": 20}


def _load(split, data_dir):
    if data_dir == "wrong":
        raise UserError("no data here")
    rng = np.random.default_rng(list(SIZES).index(split))
    number = SIZES[split]
    label = rng.integers(0, 3, number).astype(np.int32)
    image = (rng.uniform(size=[number, 4, 4, 1]) * 80 + label[:, None, None, None] * 80).astype(
        np.uint8
    )
    if data_dir == "out_of_range":
        label = label + 1
    part = {"x": {"image": image, "label": label}}
    return Split(tf.data.Dataset.from_tensor_slices(part), number)


def _modalities(likelihood_weight, cross_weight):
    parts = {
        "image": (likelihoods.Bernoulli([4, 4, 1]), mlp_encoder([8]), mlp_decoder([4, 4, 1], [8])),
        "label": (likelihoods.Categorical(3), mlp_encoder([8], 3), mlp_decoder([3], [8])),
    }
    return [
        Modality(name, *part, likelihood_weight.get(name, 1.0), cross_weight.get(name))
        for name, part in parts.items()
    ]


register(Experiment("tiny", "A tiny experiment", _load, _modalities))

if __name__ == "__main__":
    from tf_mvae import command, train

    command.run(train.main, train.check_flags)
