"""A collapsed posterior gives one warning, and only after annealing."""

import json

import pytest
import tensorflow as tf

from tests.training import tiny_experiment  # noqa: F401  registers the experiment
from tf_mvae.training import RunConfig, collapse, finishing, train, trainer
from tf_mvae.training.collapse import COLLAPSED_KL, collapse_warning

CONFIG = RunConfig("digits", epochs=4, annealing_epochs=4)


@pytest.mark.parametrize("kl", [0.0, 0.24, 0.99 * COLLAPSED_KL])
def test_a_small_divergence_is_told_with_what_to_try(kl):
    warning = collapse_warning(CONFIG, {"val_kl": kl})
    for words in (f"{kl:.3g} nats", f"below {COLLAPSED_KL:g}", "mean of", "--free_bits"):
        assert words in warning
    assert "\n" not in warning
    assert "free_bits" not in collapse_warning(CONFIG, {"val_kl": kl}, free_bits=False)


@pytest.mark.parametrize(
    ("config", "metrics"),
    [
        (CONFIG, {"val_kl": COLLAPSED_KL}),
        (CONFIG, {"val_kl": 20.0}),
        (CONFIG, {}),
        (RunConfig("digits", epochs=3, annealing_epochs=4), {"val_kl": 0.0}),
    ],
)
def test_nothing_else_is(config, metrics):
    assert collapse_warning(config, metrics) is None


def test_a_run_says_so_at_its_end_and_keeps_it(tmp_path, monkeypatch, nothing_exported, caplog):
    monkeypatch.setattr(trainer, "draw", lambda *_: {})
    monkeypatch.setattr(finishing, "write_pictures", lambda *_: [])
    monkeypatch.setattr(finishing, "write_curves", lambda *_: None)
    monkeypatch.setattr(collapse, "COLLAPSED_KL", 1e3)
    config = RunConfig(
        "tiny", latent_dim=3, epochs=1, annealing_epochs=0, batch_size=10, jit_compile=False
    )
    summary = train(config, tmp_path)
    (warning,) = summary["warnings"]
    assert "the posterior has collapsed" in warning
    assert caplog.text.count(warning) == 1
    assert json.loads((tmp_path / "finished.json").read_text())["warnings"] == [warning]
    texts = [
        value.tensor.string_val[0].decode()
        for path in (tmp_path / "tensorboard").iterdir()
        for event in tf.compat.v1.train.summary_iterator(str(path))
        for value in event.summary.value
        if value.tag == "warnings"
    ]
    assert texts == [warning]
