"""MultiVae's MVAE as a contestant of `training_step.py`: `python multivae_step.py FOLDER`.

The model is MultiVae's own, with the set-up's networks; `--compile` puts `torch.compile` around
it, or around each of its networks. A step is `model(inputs).loss.backward()` and Adam's.
"""

import argparse
import contextlib
import pathlib
import unittest.mock
from collections.abc import Iterator
from typing import Any

import step_protocol


def main() -> None:
    """Answers what `training_step.py` asks."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--compile", choices=["model", "networks"])
    parser.add_argument("--device", default="cpu", help="PyTorch's name: cpu, cuda")
    parser.add_argument("--precision", default="float32", choices=["float32", "tf32", "bfloat16"])
    options = parser.parse_args()
    step_protocol.serve(
        lambda: make(options.folder, options.compile, options.device, options.precision)
    )


def make(
    folder: pathlib.Path, compiled: str | None, device: str = "cpu", precision: str = "float32"
) -> dict[str, Any]:
    """Builds the model and returns what can be asked of it."""
    import torch

    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision == "tf32"
    import torch_contestant
    from multivae_likelihood import (
        MVAE,
        BaseDecoder,
        BaseEncoder,
        ModelOutput,
        MultimodalBaseDataset,
        MVAEConfig,
    )
    from torch.nn import functional

    class Encoder(BaseEncoder):
        """A network from one modality to its expert."""

        def __init__(self, network, latent):
            super().__init__()
            self.network, self.latent_dim = network, latent

        def forward(self, x):
            loc, log_variance = self.network(x).chunk(2, 1)
            return ModelOutput(embedding=loc, log_covariance=log_variance)

    class Decoder(BaseDecoder):
        """A network from a latent to the logits of one modality."""

        def __init__(self, network, shape):
            super().__init__()
            self.network, self.shape = network, shape

        def forward(self, z):
            return ModelOutput(reconstruction=self.network(z).reshape(len(z), *self.shape))

    problem = torch_contestant.Problem(folder, device)
    setup, networks = problem.setup, problem.networks
    classes = {m["name"]: m["classes"] for m in setup["modalities"]}

    def prepare(data):
        """Returns labels as MultiVae wants them, one-hot."""
        return {
            name: value
            if classes[name] is None
            else functional.one_hot(value, classes[name]).float()
            for name, value in data.items()
        }

    data = prepare(problem.data)
    config = MVAEConfig(
        n_modalities=len(networks),
        latent_dim=setup["latent_dim"],
        decoders_dist={n: "categorical" if classes[n] else "bernoulli" for n in networks},
        uses_likelihood_rescaling=True,
        rescale_factors={m["name"]: m["weight"] for m in setup["modalities"]},
        k=setup["num_random_subsets"],
        warmup=0,
        beta=1.0,
    )
    model = MVAE(
        config,
        encoders={n: Encoder(networks[n].encoder, setup["latent_dim"]) for n in networks},
        decoders={n: Decoder(networks[n].decoder, data[n].shape[1:]) for n in networks},
    )
    model = model.to(device).train()
    call = torch.compile(model) if compiled == "model" else model
    if compiled == "networks":
        for module in problem.modules():
            module.compile()

    def loss(batch, beta):
        model.beta = beta
        with torch.autocast(device, torch.bfloat16, enabled=precision == "bfloat16"):
            return call(MultimodalBaseDataset(batch)).loss

    def same():
        with _given(model, problem):
            return model(MultimodalBaseDataset(data)).loss

    contestant = torch_contestant.Contestant(
        problem, loss, same, list(model.parameters()), ["multivae"], prepare
    )
    return contestant.functions()


@contextlib.contextmanager
def _given(model: Any, problem: Any) -> Iterator[None]:
    """Lets MultiVae draw the set-up's subsets and noise."""
    import torch
    from multivae.models.mvae import mvae_model

    noise = iter(problem.noise)

    def choice(places, size, replace):
        found = [model.subsets.index(subset) for subset in problem.subsets]
        if len(found) != size or replace:
            raise ValueError("MultiVae draws its subsets in another way")
        return found

    def rsample(distribution, shape=()):
        return distribution.loc + distribution.scale * next(noise)

    with (
        unittest.mock.patch.object(mvae_model, "choice", choice),
        unittest.mock.patch.object(torch.distributions.Normal, "rsample", rsample),
    ):
        yield
    if next(noise, None) is not None:
        raise ValueError("MultiVae has fewer terms than the objective")


if __name__ == "__main__":
    main()
