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

__all__ = ["Contestant", "Problem"]

Loss = Callable[[Mapping[str, torch.Tensor], float], torch.Tensor]


class Problem:
    """A set-up, read.

    Attributes:
        setup: Its description.
        arrays: Its weights.
        networks: Encoder and decoder by modality, in order.
        data: The batch, by modality.
        noise: Standard normal numbers, `[term, batch, latent]`, of the evaluation that all
            contestants have to agree on: everything, each modality alone, random subsets; None
            for a model whose agreement `objective_agreement.py` shows.
        subsets: Its random subsets, names of modalities.
    """

    def __init__(self, folder: pathlib.Path, device: str = "cpu"):
        """Reads a folder that `step_setups.write` wrote; tensors are on the device."""
        torch.manual_seed(0)
        self.setup, self.arrays = load_setup(folder)
        latent = self.setup["latent_dim"] + self.setup["private_dim"]
        self.networks = {
            m["name"]: Networks(m, latent, self.arrays) for m in self.setup["modalities"]
        }
        with np.load(folder / "data.npz", allow_pickle=False) as file:
            data = load_data(self.setup, dict(file))
            self.data = {name: value.to(device) for name, value in data.items()}
        self.noise, self.subsets = None, []
        if (folder / "check.npz").exists():
            with np.load(folder / "check.npz", allow_pickle=False) as file:
                self.noise = torch.from_numpy(file["noise"]).to(device)
                rows = file["subsets"]
            names = list(self.networks)
            self.subsets = [tuple(np.array(names)[row > 0].tolist()) for row in rows]

    def modules(self) -> list[nn.Module]:
        """Returns all networks."""
        return [m for n in self.networks.values() for m in (n.encoder, n.decoder)]


class Contestant:
    """A model, Adam, and what can be asked of them."""

    def __init__(
        self,
        problem: Problem,
        loss: Loss,
        same: Callable[[], torch.Tensor],
        parameters: Sequence[nn.Parameter],
        packages: Sequence[str] = (),
        prepare: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]] = lambda data: data,
    ):
        """Prepares for steps.

        Args:
            problem: The set-up.
            loss: The loss of a batch at a weight of the divergence.
            same: The loss of the set-up's batch with the set-up's noise and subsets.
            parameters: What is trained, by Adam.
            packages: Whose versions to name beside PyTorch's.
            prepare: From data to how `loss` wants them.
        """
        self._problem, self._loss, self._same = problem, loss, same
        self._parameters, self._packages, self._prepare = parameters, packages, prepare
        rate, epsilon = problem.setup["learning_rate"], problem.setup["epsilon"]
        self._optimizer = torch.optim.Adam(parameters, rate, eps=epsilon)
        self._batch = prepare(problem.data)
        self._data: dict[str, torch.Tensor] = {}

    def functions(self) -> dict[str, Callable[..., Any]]:
        """Returns what can be asked, by name."""
        names = ("first_step", "steps", "check", "epoch", "write", "about")
        return {name: getattr(self, name) for name in names} | {"memory": step_protocol.peak_memory}

    def first_step(self) -> dict[str, float]:
        """Takes the first step."""
        return {"seconds": self._run(1)}

    def steps(self, number: int) -> dict[str, float]:
        """Takes steps and says how long they took."""
        size = len(next(iter(self._batch.values())))
        return {"seconds": self._run(number), "examples": number * size}

    def _run(self, number: int) -> float:
        begin = time.perf_counter()
        for _ in range(number):
            last = self._step(self._batch)
        last.item()
        return time.perf_counter() - begin

    def _step(self, data: Mapping[str, torch.Tensor], beta: float = 1.0) -> torch.Tensor:
        self._optimizer.zero_grad()
        value = self._loss(data, beta)
        value.backward()
        self._optimizer.step()
        return value

    def check(self) -> dict[str, float]:
        """Returns loss and gradient's norm of the set-up's weights, subsets and noise.

        The networks are in evaluation mode: batch normalisation is not that of a batch.
        """
        for networks in self._problem.networks.values():
            networks.load(self._problem.arrays)
        for module in self._problem.modules():
            module.eval()
        self._optimizer.zero_grad()
        value = self._same()
        value.backward()
        squares = [(p.grad**2).sum() for p in self._parameters if p.grad is not None]
        for module in self._problem.modules():
            module.train()
        return {"loss": value.item(), "gradient_norm": torch.stack(squares).sum().sqrt().item()}

    def epoch(
        self, file: str, seed: int, first: int, annealing: int, batch_size: int
    ) -> dict[str, float]:
        """Trains for an epoch on the data of a file; the weight of the divergence rises.

        Args:
            file: Where the data are.
            seed: Of the epoch's order.
            first: Number of its first step.
            annealing: Steps over which the weight rises from 0 to 1; 1 throughout where 0.
            batch_size: Examples a step.
        """
        if not self._data:
            with np.load(file, allow_pickle=False) as arrays:
                self._data = self._prepare(load_data(self._problem.setup, dict(arrays)))
        size = len(next(iter(self._data.values())))
        begin = time.perf_counter()
        order = torch.randperm(size, generator=torch.Generator().manual_seed(seed))
        number = size // batch_size
        for index, rows in enumerate(order[: number * batch_size].split(batch_size)):
            beta = min(1.0, (first + index) / annealing) if annealing else 1.0
            last = self._step({name: value[rows] for name, value in self._data.items()}, beta)
        last.item()
        return {"seconds": time.perf_counter() - begin, "steps": number}

    def write(self, file: str) -> dict[str, int]:
        """Writes the weights."""
        networks = self._problem.networks.values()
        arrays = {name: value for n in networks for name, value in n.weights().items()}
        np.savez(file, **arrays)
        return {"arrays": len(arrays)}

    def about(self) -> dict[str, Any]:
        """Returns versions, and how many threads there are."""
        names = ("torch", *self._packages)
        versions = {name: importlib.metadata.version(name) for name in names}
        return {"versions": versions, "threads": torch.get_num_threads()}
