"""MultiVae's model as a contestant of `training_step.py`: `python multivae_step.py FOLDER`.

The model is MultiVae's own, of the set-up's class and with its networks; `--compile` puts
`torch.compile` around it, or around each of its networks. A step is `model(inputs)`, its
`loss_sum` over the number of examples, `backward()` and Adam's.
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
    import numpy as np
    import torch

    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision == "tf32"
    import multivae_models
    import torch_contestant
    from multivae.data.datasets.base import MultimodalBaseDataset

    problem = torch_contestant.Problem(folder, device)

    def prepare(data):
        return multivae_models.one_hot(problem.setup, data)

    data = prepare(problem.data)
    np.random.seed(0)  # MultiVae draws modalities and subsets with it
    model = multivae_models.make(problem.setup, problem.arrays, problem.networks)
    model = model.to(device).train()
    call = torch.compile(model) if compiled == "model" else model
    if compiled == "networks":
        for module in problem.modules():
            module.compile()

    def loss(batch, beta):
        model.beta = beta
        with torch.autocast(device, torch.bfloat16, enabled=precision == "bfloat16"):
            return call(MultimodalBaseDataset(batch)).loss_sum / len(next(iter(batch.values())))

    def same():
        with _given(model, problem):
            model.beta = 1.0
            return model(MultimodalBaseDataset(data)).loss_sum / len(next(iter(data.values())))

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
