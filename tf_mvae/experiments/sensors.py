"""Synthetic sensors with an exact posterior: the yardstick for scale and for correctness."""

from collections.abc import Mapping

import keras

from tf_mvae import checks
from tf_mvae.data.pipeline import Split
from tf_mvae.data.sensors import LinearGaussianSensors
from tf_mvae.distributions import likelihoods
from tf_mvae.experiments.registry import Experiment, register
from tf_mvae.group import ModalityGroup
from tf_mvae.layers import GroupedDense
from tf_mvae.modality import Modality
from tf_mvae.settings import Setting

__all__ = ["sensor_modalities"]


def sensor_modalities(
    likelihood_weight: Mapping[str, float],
    cross_weight: Mapping[str, float],
    num_modalities: int,
) -> list[Modality]:
    """Returns a group of sensors with linear networks, which can be exact.

    Args:
        likelihood_weight: Under `sensors` that of all, under a sensor's name its own.
        cross_weight: The same.
        num_modalities: How many sensors there are: `sensor_0`, `sensor_1`, ...
    """
    sensors = LinearGaussianSensors(num_modalities)
    readings = sensors.weights.shape[1]
    names = _names(num_modalities)["sensors"]
    weights = {name: likelihood_weight.get("sensors", 1.0) for name in names}
    weights |= {k: v for k, v in likelihood_weight.items() if k in names}
    cross = dict.fromkeys(names, cross_weight["sensors"]) if "sensors" in cross_weight else {}
    cross |= {k: v for k, v in cross_weight.items() if k in names}
    likelihood = likelihoods.Normal([readings], scale=sensors.scale)
    group = ModalityGroup(
        "sensors",
        names,
        likelihood,
        keras.layers.Identity(),
        GroupedDense(readings),
        weights,
        cross,
    )
    return [group]


def _names(num_modalities: int) -> dict[str, list[str]]:
    return {"sensors": [f"sensor_{index}" for index in range(num_modalities)]}


def _load(split: str, data_dir: str | None, num_modalities: int) -> Split:
    return LinearGaussianSensors(num_modalities).split(split)


register(
    Experiment(
        name="sensors",
        analyses=("log_likelihood",),
        description="synthetic sensors with an exact posterior, --num_modalities of them",
        load=_load,
        modalities=sensor_modalities,
        names=_names,
        settings=(
            Setting("num_modalities", 10, "How many sensors there are.", checks.positive_integer),
        ),
        licence="Synthetic data of this package.",
    )
)
