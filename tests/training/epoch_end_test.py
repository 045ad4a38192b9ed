"""Runs that a signal stops between the last step of an epoch and the next epoch."""

import signal

import pytest

from tests.training import tiny_experiment  # noqa: F401  registers the experiment
from tests.training.trainer_test import last_state, metric_rows
from tf_mvae.training import RunConfig, callbacks, make_strategy, train
from tf_mvae.training.stopping import Stopped

pytestmark = pytest.mark.usefixtures("training_alone")

CONFIG = RunConfig(
    "tiny", latent_dim=3, epochs=2, annealing_epochs=1, batch_size=10, jit_compile=False, ema=0.9
)
STEPS = 6  # of an epoch
# After which method and step the signal is sent, and where training stops; replicas agree two steps
# later.
SENT = {
    "default": [
        ("on_train_batch_end", STEPS, STEPS),
        ("on_train_batch_end", 2 * STEPS, 2 * STEPS),
        ("on_test_begin", 2 * STEPS, 2 * STEPS),
    ],
    "mirrored": [
        ("on_train_batch_end", STEPS - 2, STEPS),
        ("on_test_begin", 2 * STEPS, 2 * STEPS),
    ],
}


@pytest.fixture(
    scope="module", params=["default", pytest.param("mirrored", marks=pytest.mark.long)]
)
def strategy(request):
    return request.param


def trained(strategy, run_dir):
    train(CONFIG, run_dir, strategy=make_strategy(strategy))
    return metric_rows(run_dir), last_state(run_dir)


def test_it_stops_and_goes_on_to_the_bit(strategy, tmp_path, monkeypatch):
    whole = trained(strategy, tmp_path / "whole")
    for place, (when, sent, stops) in enumerate(SENT[strategy]):
        run_dir = tmp_path / f"stopped_{place}"
        method = getattr(callbacks.Progress, when)

        def send(self, *arguments, method=method, sent=sent, **named):
            method(self, *arguments, **named)
            if self._done == sent:
                signal.raise_signal(signal.SIGTERM)

        with monkeypatch.context() as patch:
            patch.setattr(callbacks.Progress, when, send)
            with pytest.raises(Stopped) as stopped:
                trained(strategy, run_dir)
        assert (stopped.value.signal, stopped.value.step) == (signal.SIGTERM, stops)
        assert trained(strategy, run_dir) == whole
