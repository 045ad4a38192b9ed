"""Estimates joint log-likelihoods with MultiVae, for `likelihood.py` and in a Python of its own.

`python multivae_likelihood.py FILE.npz` rebuilds the model whose weights lie in the file as
MultiVae's MVAE, calls `compute_joint_nll` on the file's examples and writes one JSON object
to the standard output. With `--each`, every example is a call of its own, so that the answer
holds a number for each. If the file holds `noise`, these numbers take the place of the
posterior's own random draws.

This file imports nothing of `tf_mvae`, and needs nothing of it.
"""

import argparse
import contextlib
import importlib
import importlib.metadata
import itertools
import json
import time
import unittest.mock
from collections.abc import Iterator, Mapping

import numpy as np
import torch
from torch import nn

MODALITIES = {"image": "bernoulli", "label": "categorical"}


def import_torchvision() -> torch.library.Library | None:
    """Imports torchvision, which MultiVae's data sets want and this benchmark does not.

    A torchvision that was built for another kind of PyTorch lacks its own compiled
    operators, and stops at the first that it describes. Empty ones of the same names let it
    be imported; nothing calls them.

    Returns:
        The empty operators, if they were wanted. They go when this object does.
    """
    try:
        importlib.import_module("torchvision")
        return None
    except RuntimeError:
        operators = torch.library.Library("torchvision", "DEF")
        for name in ("nms", "qnms"):
            operators.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        importlib.import_module("torchvision")
        return operators


_STAND_INS = import_torchvision()

from multivae.data import MultimodalBaseDataset  # noqa: E402
from multivae.models import MVAE, MVAEConfig  # noqa: E402
from pythae.models.base.base_utils import ModelOutput  # noqa: E402
from pythae.models.nn import BaseDecoder, BaseEncoder  # noqa: E402


def perceptron(arrays: Mapping[str, np.ndarray], prefix: str) -> nn.Sequential:
    """Returns the linear layers stored under a prefix, with SiLU between each two.

    Args:
        arrays: `{prefix}.{i}.kernel`, `[inputs, outputs]`, and `{prefix}.{i}.bias`, which an
            embedding (a linear layer of one-hot vectors) does not have.
        prefix: The network's name.
    """
    layers: list[nn.Module] = []
    for index in itertools.count():
        kernel = arrays.get(f"{prefix}.{index}.kernel")
        if kernel is None:
            return nn.Sequential(nn.Flatten(), *layers)
        bias = arrays.get(f"{prefix}.{index}.bias")
        linear = nn.Linear(*kernel.shape, bias=bias is not None)
        with torch.no_grad():
            linear.weight.copy_(torch.from_numpy(kernel.T.copy()))
            if bias is not None:
                linear.bias.copy_(torch.from_numpy(bias))
        layers += [nn.SiLU(), linear] if layers else [linear]


class Encoder(BaseEncoder):
    """A network from one modality to its expert's mean and log-variance."""

    def __init__(self, arrays: Mapping[str, np.ndarray], name: str, latent_dim: int):
        """Takes the weights that are stored under `{name}.encoder`."""
        BaseEncoder.__init__(self)
        self.latent_dim = latent_dim
        self.network = perceptron(arrays, f"{name}.encoder")

    def forward(self, x: torch.Tensor) -> ModelOutput:
        """Returns the expert of every example."""
        loc, log_variance = self.network(x).chunk(2, dim=-1)
        return ModelOutput(embedding=loc, log_covariance=log_variance)


class Decoder(BaseDecoder):
    """A network from a latent to the logits of one modality."""

    def __init__(
        self,
        arrays: Mapping[str, np.ndarray],
        name: str,
        latent_dim: int,
        event_shape: tuple[int, ...],
    ):
        """Takes the weights that are stored under `{name}.decoder`."""
        BaseDecoder.__init__(self)
        self.latent_dim = latent_dim
        self.network = perceptron(arrays, f"{name}.decoder")
        self.event_shape = event_shape

    def forward(self, z: torch.Tensor) -> ModelOutput:
        """Returns the logits of every latent."""
        return ModelOutput(reconstruction=self.network(z).reshape(len(z), *self.event_shape))


def build(arrays: Mapping[str, np.ndarray]) -> tuple[MVAE, dict[str, torch.Tensor]]:
    """Returns MultiVae's model with the stored weights, and the stored examples."""
    num_classes = arrays["label.decoder.3.kernel"].shape[1]
    data = {
        "image": torch.from_numpy(arrays["image"]),
        "label": nn.functional.one_hot(
            torch.from_numpy(arrays["label"]).long(), num_classes
        ).float(),
    }
    latent_dim = arrays["image.decoder.0.kernel"].shape[0]
    # Rescaling is for training; it is off, and `compute_joint_nll` would not apply it.
    config = MVAEConfig(
        n_modalities=len(MODALITIES),
        latent_dim=latent_dim,
        decoders_dist=dict(MODALITIES),
        uses_likelihood_rescaling=False,
    )
    model = MVAE(
        config,
        encoders={name: Encoder(arrays, name, latent_dim) for name in MODALITIES},
        decoders={
            name: Decoder(arrays, name, latent_dim, tuple(data[name].shape[1:]))
            for name in MODALITIES
        },
    )
    return model.eval(), data


@contextlib.contextmanager
def replayed(noise: torch.Tensor | None) -> Iterator[None]:
    """Lets Gaussians draw the given standard normal numbers, if there are any."""
    if noise is None:
        yield
        return

    def rsample(distribution, shape):
        return distribution.loc + distribution.scale * noise

    with unittest.mock.patch.object(torch.distributions.Normal, "rsample", rsample):
        yield


def log_likelihood(
    model: MVAE,
    data: Mapping[str, torch.Tensor],
    rows: slice,
    num_samples: int,
    batch_size_k: int,
    noise: torch.Tensor | None = None,
) -> float:
    """Returns the sum of the joint log-likelihoods of some examples, in nats."""
    dataset = MultimodalBaseDataset({name: value[rows] for name, value in data.items()})
    with replayed(noise):
        return -float(model.compute_joint_nll(dataset, num_samples, batch_size_k))


def main() -> None:
    """Answers one question with one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", help="weights and examples, as likelihood.py stores them")
    parser.add_argument("--num_samples", type=int, default=1000)
    parser.add_argument(
        "--batch_size_k", type=int, default=100, help="samples that MultiVae decodes at a time"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--each", action="store_true", help="give a number for each example")
    options = parser.parse_args()

    with np.load(options.file, allow_pickle=False) as file:
        arrays = dict(file)
    model, data = build(arrays)
    number = len(data["image"])
    torch.manual_seed(options.seed)
    settings = (options.num_samples, options.batch_size_k)
    log_likelihood(model, data, slice(0, min(number, 4)), *settings)  # Warms up.

    noise = torch.from_numpy(arrays["noise"]) if "noise" in arrays else None
    start = time.perf_counter()
    if options.each or noise is not None:
        values = [
            log_likelihood(
                model,
                data,
                slice(i, i + 1),
                *settings,
                noise=None if noise is None else noise[:, i : i + 1],
            )
            for i in range(number)
        ]
    else:
        values = None
        total = log_likelihood(model, data, slice(None), *settings)
    seconds = time.perf_counter() - start
    answer = {
        "mean": (total if values is None else sum(values)) / number,
        "values": values,
        "seconds": seconds,
        "threads": torch.get_num_threads(),
        "versions": {
            name: importlib.metadata.version(name) for name in ("multivae", "torch", "numpy")
        },
    }
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
