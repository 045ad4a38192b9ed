"""What the contestants of `training_step.py` in PyTorch have in common: steps, checks, epochs."""

import importlib.metadata
import pathlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import step_protocol
import torch
from torch import nn
from torch_networks import Networks, load_data, load_setup

__all__ = ["Problem", "functions", "load"]

Loss = Callable[[Mapping[str, torch.Tensor], float], torch.Tensor]


class Problem:
    """A set-up, read.

    Attributes:
        setup: Its description.
        networks: Encoder and decoder by modality, in order.
        data: The batch, by modality.
        noise: Standard normal numbers, `[term, batch, latent]`, of the evaluation that all
            contestants have to agree on: everything, each modality alone, random subsets.
        subsets: Its random subsets, names of modalities.
    """

    def __init__(self, folder: pathlib.Path):
        """Reads a folder that `step_setups.write` wrote."""
        self.setup, arrays = load_setup(folder)
        self.arrays = arrays
        self.networks = {
            m["name"]: Networks(m, self.setup["latent_dim"], arrays)
            for m in self.setup["modalities"]
        }
        with np.load(folder / "data.npz", allow_pickle=False) as file:
            self.data = load_data(self.setup, dict(file))
        with np.load(folder / "check.npz", allow_pickle=False) as file:
            self.noise = torch.from_numpy(file["noise"])
            rows = file["subsets"]
        names = list(self.networks)
        self.subsets = [tuple(np.array(names)[row > 0].tolist()) for row in rows]

    def modules(self) -> list[nn.Module]:
        """Returns all networks."""
        return [m for n in self.networks.values() for m in (n.encoder, n.decoder)]


def load(folder: pathlib.Path) -> Problem:
    """Returns a set-up; steps that follow use all cores, as PyTorch does by itself."""
    torch.manual_seed(0)
    return Problem(folder)


def functions(
    problem: Problem,
    loss: Loss,
    same: Callable[[], torch.Tensor],
    parameters: Sequence[nn.Parameter],
    packages: Sequence[str] = (),
    prepare: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]] = lambda data: data,
) -> dict[str, Any]:
    """Returns what can be asked of a contestant.

    Args:
        problem: The set-up.
        loss: The loss of a batch at a weight of the divergence.
        same: The loss of the set-up's batch with the set-up's noise and subsets, networks in
            evaluation mode.
        parameters: What is trained, by Adam.
        packages: Whose versions to name beside PyTorch's.
        prepare: From data to how `loss` wants them.
    """
    setup, batch = problem.setup, prepare(problem.data)
    optimizer = torch.optim.Adam(parameters, setup["learning_rate"], eps=setup["epsilon"])
    size = len(next(iter(batch.values())))
    epochs: dict[str, Any] = {}

    def step(data, beta=1.0):
        optimizer.zero_grad()
        value = loss(data, beta)
        value.backward()
        optimizer.step()
        return value

    def run(number):
        begin = time.perf_counter()
        for _ in range(number):
            last = step(batch)
        last.item()
        return time.perf_counter() - begin

    def check():
        for networks in problem.networks.values():
            networks.load(problem.arrays)
        for module in problem.modules():
            module.eval()
        optimizer.zero_grad()
        value = same()
        value.backward()
        squares = [(p.grad**2).sum() for p in parameters if p.grad is not None]
        for module in problem.modules():
            module.train()
        return {"loss": value.item(), "gradient_norm": torch.stack(squares).sum().sqrt().item()}

    def epoch(file, seed, first, annealing, batch_size):
        """Trains for an epoch on the data of a file; the weight of the divergence rises."""
        if not epochs:
            with np.load(file, allow_pickle=False) as arrays:
                epochs.update(prepare(load_data(setup, dict(arrays))))
        order = torch.randperm(
            len(next(iter(epochs.values()))), generator=torch.Generator().manual_seed(seed)
        )
        begin = time.perf_counter()
        number = len(order) // batch_size
        for index in range(number):
            rows = order[index * batch_size : (index + 1) * batch_size]
            beta = min(1.0, (first + index) / annealing) if annealing else 1.0
            last = step({name: value[rows] for name, value in epochs.items()}, beta)
        last.item()
        return {"seconds": time.perf_counter() - begin, "steps": number}

    def write(file):
        weights = {k: v for n in problem.networks.values() for k, v in n.weights().items()}
        np.savez(file, **weights)
        return {"arrays": len(weights)}

    def first_step():
        return {"seconds": run(1)}

    return {
        "first_step": first_step,
        "steps": lambda number: {"seconds": run(number), "examples": number * size},
        "check": check,
        "memory": step_protocol.peak_memory,
        "epoch": epoch,
        "write": write,
        "about": lambda: {
            "versions": {name: importlib.metadata.version(name) for name in ("torch", *packages)},
            "threads": torch.get_num_threads(),
        },
    }
