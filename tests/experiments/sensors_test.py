"""Sensors from their config to a finished run, compared with exact results."""

import numpy as np
import tensorflow as tf

from tests.experiments.configs import CONFIGS, config_of, read_flags
from tf_mvae.data.sensors import LinearGaussianSensors
from tf_mvae.evaluation import ANALYSES, Settings, usual_analyses
from tf_mvae.training import load_run, train


def test_a_run_of_many_sensors_is_trained_drawn_and_evaluated(tmp_path, nothing_exported):
    number = 12
    flags = read_flags(CONFIGS / "sensors" / "mvae.cfg")
    train(config_of(flags, num_modalities=number, jit_compile=False), tmp_path / "run")
    curves = (tmp_path / "run" / "pictures" / "curves.png").read_bytes()
    height, width, _ = tf.io.decode_png(curves).shape
    assert width < 6 * height  # panels of the sum over sensors, and none of each

    run = load_run(tmp_path / "run")
    (analysis,) = usual_analyses(run)
    found = ANALYSES[analysis].analyze(run, Settings(num_samples=200, max_examples=200))
    estimate = found["log p(sensors)"]
    batch = next(iter(run.split("test").dataset.batch(200)))
    x = batch["x"]["sensors"].numpy()
    exact = LinearGaussianSensors(number).log_likelihood(x, np.ones(x.shape[:2])).mean()
    assert abs(estimate["value"] - exact) < 1
