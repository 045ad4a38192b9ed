"""MultiVae's side of a run of `field.py`: `python multivae_field.py FOLDER DATA`.

The model is MultiVae's own with the run's networks. A step is `model(inputs)`, its `loss_sum` over
the number of examples, `backward()` and Adam's.
"""

import argparse
import importlib.metadata
import itertools
import pathlib
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import step_protocol


def main() -> None:
    """Answers what `field.py` asks."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("data", type=pathlib.Path)
    options = parser.parse_args()
    step_protocol.serve(lambda: Theirs(options.folder, options.data).functions())


class Theirs:
    """A model, its data, and what can be asked of it."""

    def __init__(self, folder: pathlib.Path, data: pathlib.Path):
        """Builds the model and loads the data."""
        import torch
        from multivae_models import make
        from torch_networks import load_setup

        self._torch = torch
        self._setup, arrays = load_setup(folder)
        torch.manual_seed(self._setup["seed"])
        np.random.seed(self._setup["seed"])  # MultiVae draws modalities and subsets with it
        self._names = [modality["name"] for modality in self._setup["modalities"]]
        self._model = make(self._setup, arrays).train()
        self._train, self._test = (self._images(data / f"{n}.npz") for n in ("train", "test"))
        self._masks = None
        if (data / "masks.npz").exists():
            with np.load(data / "masks.npz", allow_pickle=False) as file:
                self._masks = {n: torch.from_numpy(file[n].astype(bool)) for n in self._names}
        self._order = iter(torch.from_numpy(np.load(folder / "order.npy")).long())
        rate, epsilon = self._setup["learning_rate"], self._setup["epsilon"]
        self._optimizer = torch.optim.Adam(self._model.parameters(), rate, eps=epsilon)

    def _images(self, path: pathlib.Path) -> dict[str, Any]:
        """Returns uint8 images, channels first."""
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name].transpose(0, 3, 1, 2).copy() for name in self._names}
        return {name: self._torch.from_numpy(value) for name, value in arrays.items()}

    def functions(self) -> dict[str, Callable[..., Any]]:
        """Returns what can be asked, by name."""
        names = ("train", "generate", "about")
        return {name: getattr(self, name) for name in names} | {"memory": step_protocol.peak_memory}

    def train(self, steps: int) -> dict[str, float]:
        """Takes the next steps of the order."""
        self._model.train()
        begin = time.perf_counter()
        for rows in itertools.islice(self._order, steps):
            self._optimizer.zero_grad()
            loss = self._model(self._batch(rows)).loss_sum / len(rows)
            loss.backward()
            self._optimizer.step()
        last = loss.item()
        return {"seconds": time.perf_counter() - begin, "loss": last}

    def _batch(self, rows: Any) -> Any:
        from multivae.data.datasets.base import IncompleteDataset, MultimodalBaseDataset

        x = {name: value[rows].float() / 255 for name, value in self._train.items()}
        if self._masks is None:
            return MultimodalBaseDataset(x)
        masks = {name: mask[rows] for name, mask in self._masks.items()}
        return IncompleteDataset(x, masks)

    def generate(self, file: str, batch_size: int = 250) -> dict[str, int]:
        """Writes what is generated from every subset of the test examples, and from nothing."""
        torch, model = self._torch, self._model.eval()
        number, arrays = len(self._test[self._names[0]]), {}
        with torch.no_grad():
            for place, given in enumerate(subsets(self._names)):
                targets = [name for name in self._names if name not in given]
                parts = [
                    model.decode(self._encoded(slice(start, start + batch_size), given), targets)
                    for start in range(0, number, batch_size)
                ]
                for name in targets:
                    arrays[f"{place}/{name}"] = torch.cat([part[name] for part in parts])
            drawn = [
                model.decode(model.generate_from_prior(batch_size))
                for _ in range(-(-number // batch_size))
            ]
            for name in self._names:
                arrays[f"prior/{name}"] = torch.cat([part[name] for part in drawn])[:number]
        np.savez(file, **{name: _pixels(value) for name, value in arrays.items()})
        return {"arrays": len(arrays)}

    def _encoded(self, rows: slice, given: tuple[str, ...]) -> Any:
        from multivae.data.datasets.base import MultimodalBaseDataset

        x = {name: value[rows].float() / 255 for name, value in self._test.items()}
        return self._model.encode(MultimodalBaseDataset(x), cond_mod=list(given))

    def about(self) -> dict[str, Any]:
        """Returns versions."""
        names = ("torch", "multivae")
        return {"versions": {name: importlib.metadata.version(name) for name in names}}


def subsets(names: list[str]) -> list[tuple[str, ...]]:
    """Returns what is given, in the order of `field_setups.subsets`."""
    places = range(1, 2 ** len(names) - 1)
    found = [tuple(n for k, n in enumerate(names) if place >> k & 1) for place in places]
    return sorted(found, key=lambda given: (len(given), given))


def _pixels(images: Any) -> np.ndarray:
    """Returns images as uint8, channels last."""
    return (255 * images.clamp(0, 1)).round().byte().permute(0, 2, 3, 1).numpy()


if __name__ == "__main__":
    main()
