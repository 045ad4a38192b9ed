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


def make(setup: dict[str, Any], arrays: dict[str, np.ndarray]) -> Any:
    """Returns MultiVae's model of a set-up, with the weights that could be carried over."""
    import multivae_likelihood  # noqa: F401  makes torchvision importable
    import torch
    from multivae import models
    from multivae.models.nn.default_architectures import BaseJointEncoder
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder
    from torch_networks import Networks, sequential

    latent, private = setup["latent_dim"], setup["private_dim"]

    class Encoder(BaseEncoder):
        """A network from one modality to its expert, and to that of its own latent."""

        def __init__(self, network):
            super().__init__()
            self.network, self.latent_dim = network, latent

        def forward(self, x):
            loc, log_variance = self.network(x).chunk(2, 1)
            loc, log_variance = loc.clone(), log_variance.clone()  # MultiVae writes into them
            u = {"embedding": loc[:, :latent], "log_covariance": log_variance[:, :latent]}
            if not private:
                return ModelOutput(**u)
            w = loc[:, latent:], log_variance[:, latent:]
            return ModelOutput(**u, style_embedding=w[0], style_log_covariance=w[1])

    class Decoder(BaseDecoder):
        """A network from latents to one image; latents may have several leading axes."""

        def __init__(self, network):
            super().__init__()
            self.network = network

        def forward(self, z):
            images = self.network(z.reshape(-1, z.shape[-1]))
            return ModelOutput(reconstruction=images.reshape(*z.shape[:-1], *images.shape[1:]))

    class JointEncoder(BaseJointEncoder):
        """A trunk for each modality and two dense layers."""

        def __init__(self, trunks, rest):
            super().__init__()
            self.trunks, self.rest = torch.nn.ModuleDict(trunks), rest
            self.latent_dim = latent

        def forward(self, x):
            features = [trunk(x[name]) for name, trunk in self.trunks.items()]
            loc, log_variance = self.rest(torch.cat(features, 1)).chunk(2, 1)
            return ModelOutput(embedding=loc, log_covariance=log_variance)

    networks = {m["name"]: Networks(m, latent + private, arrays) for m in setup["modalities"]}
    class_name, fields = setup["peer"]
    shapes = {m["name"]: m["event_shape"] for m in setup["modalities"]}
    common = {
        "n_modalities": len(networks),
        "latent_dim": latent,
        "input_dims": {n: (shape[2], *shape[:2]) for n, shape in shapes.items()},
        "decoders_dist": dict.fromkeys(networks, "laplace"),
        "decoder_dist_params": {m["name"]: {"scale": m["scale"]} for m in setup["modalities"]},
    }
    if private:
        fields = {**fields, "modalities_specific_dim": private}
    config = getattr(models, f"{class_name}Config")(**common, **fields)
    encoders = {name: Encoder(one.encoder) for name, one in networks.items()}
    decoders = {name: Decoder(one.decoder) for name, one in networks.items()}
    more = {}
    if setup["joint"]:
        trunks = {
            name: sequential(kinds, tuple(shapes[name]), f"joint/{name}", arrays)
            for name, kinds in setup["joint"]["trunks"].items()
        }
        rest = sequential(setup["joint"]["rest"], (), "joint/rest", arrays)
        more["joint_encoder"] = JointEncoder(trunks, rest)
    return getattr(models, class_name)(config, encoders, decoders, **more)


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
