"""Builds the networks of a set-up of `training_step.py` in PyTorch, from its weights.

Images are `[batch, channels, height, width]` here, as PyTorch's users have them; what stands
behind or before a flat layer is put in that order when weights are read, and back when they are
written.
"""

import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

__all__ = ["Networks", "load_data", "load_setup", "sequential"]

_ACTIVATIONS = {"silu": nn.SiLU, "linear": nn.Identity}
_BATCH_NORM = {
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}


def load_setup(folder: pathlib.Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Returns a set-up's description and weights."""
    setup = json.loads((folder / "setup.json").read_text())
    with np.load(folder / "weights.npz", allow_pickle=False) as arrays:
        return setup, dict(arrays)


def load_data(
    setup: Mapping[str, Any], source: Mapping[str, np.ndarray]
) -> dict[str, torch.Tensor]:
    """Returns data by modality: images channels first, labels int64, attributes `[batch, 1]`."""
    data = {}
    for modality in setup["modalities"]:
        value = source[modality["source"]]
        if modality["column"] is not None:
            value = value[:, modality["column"]]
        value = torch.from_numpy(np.ascontiguousarray(value))
        if modality["classes"] is not None:
            data[modality["name"]] = value.long()
        elif value.dim() == 4:
            data[modality["name"]] = value.permute(0, 3, 1, 2).contiguous().float()
        else:
            data[modality["name"]] = value.reshape(len(value), -1).float()
    return data


class Lookup(nn.Module):
    """An embedding of classes, of 0 and 1 as numbers, or of one-hot rows."""

    def __init__(self, classes: int, units: int):
        """Makes the table."""
        super().__init__()
        self.table = nn.Embedding(classes, units)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Returns `[batch, units]`."""
        if x.dim() == 1:
            return self.table(x)
        return self.table(x[:, 0].long()) if x.shape[1] == 1 else x @ self.table.weight


class Networks:
    """The encoder and the decoder of one modality.

    Attributes:
        encoder: From data to means and log-variances side by side, `[batch, 2 * latent]`.
        decoder: From `[batch, latent]` to logits, channels first.
    """

    def __init__(self, modality: Mapping[str, Any], latent: int, arrays: Mapping[str, np.ndarray]):
        """Builds both, with the weights given."""
        self._placed: list[tuple[str, torch.Tensor, tuple[int, ...], np.ndarray | None, int]] = []
        name = modality["name"]
        shape = tuple(modality["event_shape"])
        self.encoder = self._build(modality["encoder"], shape, f"{name}/encoder", arrays)
        self.decoder = self._build(modality["decoder"], (latent,), f"{name}/decoder", arrays)

    def weights(self) -> dict[str, np.ndarray]:
        """Returns the weights as they were read, by the same names."""
        found = {}
        for name, tensor, order, places, axis in self._placed:
            value = tensor.detach().cpu().numpy()
            value = value.transpose(np.argsort(order))
            if places is not None:
                value = np.take(value, np.argsort(places), axis=axis)
            found[name] = value.copy()
        return found

    def load(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Takes weights by the names that `weights` gives them."""
        for name, tensor, order, places, axis in self._placed:
            value = arrays[name]
            if places is not None:
                value = np.take(value, places, axis=axis)
            with torch.no_grad():
                tensor.copy_(torch.from_numpy(value.transpose(order).copy()))

    def _build(
        self,
        kinds: Sequence[Mapping[str, Any]],
        shape: tuple[int, ...],
        prefix: str,
        arrays: Mapping[str, np.ndarray],
    ) -> nn.Sequential:
        """Stacks layers; `shape` is that of one example, channels last."""
        layers: list[nn.Module] = []
        rows, padding = None, 0
        for index, kind in enumerate(kinds):
            own = {
                name: arrays[f"{prefix}/{index}/{name}"]
                for name in ("kernel", "bias", *_BATCH_NORM)
                if f"{prefix}/{index}/{name}" in arrays
            }
            place = f"{prefix}/{index}"
            match kind["kind"]:
                case "flatten":
                    rows = _channels_first(shape) if len(shape) == 3 else rows
                    shape = (int(np.prod(shape)),)
                    layers.append(nn.Flatten())
                case "dense":
                    columns = None
                    following = kinds[index + 1] if index + 1 < len(kinds) else {}
                    if following.get("kind") == "reshape" and len(following["shape"]) == 3:
                        columns = _channels_first(following["shape"])
                    layer = nn.Linear(*own["kernel"].shape)
                    self._place(f"{place}/kernel", layer.weight, (1, 0), _both(rows, columns))
                    self._place(f"{place}/bias", layer.bias, (0,), (columns, 0))
                    layers.append(layer)
                    shape, rows = own["kernel"].shape[1:], None
                case "embedding":
                    layer = Lookup(*own["kernel"].shape)
                    self._place(f"{place}/kernel", layer.table.weight, (0, 1))
                    layers.append(layer)
                    shape = own["kernel"].shape[1:]
                case "pad":
                    padding = kind["amount"]
                case "conv":
                    size, _, inputs, outputs = own["kernel"].shape
                    layer = nn.Conv2d(inputs, outputs, size, kind["stride"], padding, bias=False)
                    self._place(f"{place}/kernel", layer.weight, (3, 2, 0, 1))
                    layers.append(layer)
                    sides = [(n + 2 * padding - size) // kind["stride"] + 1 for n in shape[:2]]
                    shape, padding = (*sides, outputs), 0
                case "conv_transpose":
                    size, _, outputs, inputs = own["kernel"].shape
                    layer = nn.ConvTranspose2d(
                        inputs, outputs, size, kind["stride"], kind["padding"], bias=False
                    )
                    self._place(f"{place}/kernel", layer.weight, (3, 2, 0, 1))
                    layers.append(layer)
                    sides = [
                        (n - 1) * kind["stride"] + size - 2 * kind["padding"] for n in shape[:2]
                    ]
                    shape = (*sides, outputs)
                case "batch_norm":
                    layer = nn.BatchNorm2d(shape[-1], kind["epsilon"], kind["momentum"])
                    for name, theirs in _BATCH_NORM.items():
                        self._place(f"{place}/{name}", getattr(layer, theirs), (0,))
                    layers.append(layer)
                case "reshape":
                    shape = tuple(kind["shape"])
                    if len(shape) == 3:
                        layers.append(nn.Unflatten(1, (shape[2], *shape[:2])))
                case "dropout":
                    layers.append(nn.Dropout(kind["rate"]))
                case "activation":
                    pass
                case other:
                    raise ValueError(f"{place}: no layer of kind {other} is known")
            if kind.get("activation", "linear") != "linear":
                layers.append(_ACTIVATIONS[kind["activation"]]())
        self.load_prefix(prefix, arrays)
        return nn.Sequential(*layers)

    def load_prefix(self, prefix: str, arrays: Mapping[str, np.ndarray]) -> None:
        """Loads the weights of one network."""
        placed, self._placed = self._placed, [p for p in self._placed if p[0].startswith(prefix)]
        self.load(arrays)
        self._placed = placed

    def _place(
        self,
        name: str,
        tensor: torch.Tensor,
        order: tuple[int, ...],
        places: tuple[np.ndarray | None, int] = (None, 0),
    ) -> None:
        """Notes where a weight goes: its axes' order, and its entries' along one axis."""
        self._placed.append((name, tensor, order, *places))


def sequential(
    kinds: Sequence[Mapping[str, Any]],
    shape: tuple[int, ...],
    prefix: str,
    arrays: Mapping[str, np.ndarray],
) -> nn.Sequential:
    """Returns one network that is no modality's own, with its weights.

    Args:
        kinds: Its layers.
        shape: Of one example, channels last.
        prefix: Of its weights' names.
        arrays: The weights.
    """
    networks = Networks.__new__(Networks)
    networks._placed = []
    return networks._build(kinds, shape, prefix, arrays)


def _channels_first(shape: Sequence[int]) -> np.ndarray:
    """Returns where in `[height, width, channels]` the entries of `[channels, …]` stand."""
    return np.arange(int(np.prod(shape))).reshape(shape).transpose(2, 0, 1).ravel()


def _both(rows: np.ndarray | None, columns: np.ndarray | None) -> tuple[np.ndarray | None, int]:
    """Returns the one order of a kernel's rows or columns that there is."""
    if rows is not None and columns is not None:
        raise ValueError("a layer between two images is not known")
    return (rows, 0) if columns is None else (columns, 1)
