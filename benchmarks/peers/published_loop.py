"""The objective as Wu and Goodman's published program computes it, for `training_step.py`.

`python published_loop.py FOLDER`: every term encodes what it sees anew and decodes everything;
what a term does not contain is then left out of its loss. Written for this comparison; no line
is the authors'.
"""

import argparse
import itertools
import pathlib
import random
from collections.abc import Mapping, Sequence

import step_protocol


def main() -> None:
    """Answers what `training_step.py` asks."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=pathlib.Path)
    folder = parser.parse_args().folder
    step_protocol.serve(lambda: make(folder))


def make(folder: pathlib.Path) -> dict:
    """Builds the model and returns what can be asked of it."""
    import torch
    import torch_contestant
    from torch import nn
    from torch.nn import functional

    problem = torch_contestant.Problem(folder)
    names = list(problem.networks)
    number, draws = problem.setup["num_random_subsets"], random.Random(0)
    proper = [s for n in range(2, len(names)) for s in itertools.combinations(names, n)]
    weight = {m["name"]: m["weight"] for m in problem.setup["modalities"]}
    model = nn.ModuleList(problem.modules())

    def term(data: Mapping, subset: Sequence[str], beta: float, noise=None):
        """Returns minus one ELBO, averaged over the batch."""
        experts = [problem.networks[name].encoder(data[name]).chunk(2, 1) for name in subset]
        precision = 1 + sum(torch.exp(-log_variance) for _, log_variance in experts)
        total = sum(loc * torch.exp(-log_variance) for loc, log_variance in experts)
        loc, log_variance = total / precision, -torch.log(precision)
        noise = torch.randn_like(loc) if noise is None else noise
        z = loc + torch.exp(0.5 * log_variance) * noise
        logits = {name: networks.decoder(z) for name, networks in problem.networks.items()}
        loss = -0.5 * beta * (1 + log_variance - loc**2 - log_variance.exp()).sum(1)
        for name in subset:
            loss = loss + weight[name] * cross_entropy(logits[name], data[name])
        return loss.mean()

    def cross_entropy(logits, x):
        if x.dim() == 1:
            return functional.cross_entropy(logits, x, reduction="none")
        both = logits.reshape(x.shape), x
        found = functional.binary_cross_entropy_with_logits(*both, reduction="none")
        return found.flatten(1).sum(1)

    def objective(data, beta, subsets, noise=None):
        terms = [names, *([name] for name in names), *subsets]
        noise = [None] * len(terms) if noise is None else noise
        return sum(term(data, s, beta, n) for s, n in zip(terms, noise, strict=True))

    def loss(data, beta):
        return objective(data, beta, draws.sample(proper, number))

    contestant = torch_contestant.Contestant(
        problem,
        loss,
        lambda: objective(problem.data, 1.0, problem.subsets, problem.noise),
        list(model.parameters()),
    )
    return contestant.functions()


if __name__ == "__main__":
    main()
