"""The batches of a run are the same for every way to make them."""

import numpy as np
import pytest

from tests.training import tiny_experiment  # noqa: F401  registers the experiment
from tf_mvae.data import remote
from tf_mvae.data.sharding import Part
from tf_mvae.errors import UserError
from tf_mvae.training import RunConfig
from tf_mvae.training.checkpoints import Position
from tf_mvae.training.feeding import Feed
from tf_mvae.training.incomplete import incomplete_split

CONFIG = RunConfig("tiny", batch_size=12, epochs=2, input_streams=4, missing_rate={"label": 0.5})


def feed(**kwargs):
    splits = {name: incomplete_split(CONFIG, name) for name in ("train", "validation")}
    return Feed(CONFIG, splits, **kwargs)


def rows(dataset):
    return [(b["x"]["image"].numpy(), b["mask"]["label"].numpy()) for b in dataset]


def test_processes_take_services_in_turn_and_have_the_runs_batches():
    here = Position(step=6, epoch=1, step_in_epoch=1)
    whole = rows(feed().training(here))
    assert len(whole) == 4
    with remote.run_service() as first, remote.run_service() as second:
        parts = [
            rows(feed(part=Part(index, 1, 2), services=[first, second]).training(here))
            for index in range(2)
        ]
    for batch, *shares in zip(whole, *parts, strict=True):
        for value, *own in zip(batch, *shares, strict=True):
            np.testing.assert_array_equal(value, np.concatenate(own))


def test_the_second_process_takes_the_second_service():
    two = feed(part=Part(1, 1, 2), services=["grpc://localhost:1", "nowhere"])
    with pytest.raises(UserError, match="not 'nowhere'"):
        two.training(Position())


def test_everyone_validates_on_everything():
    batches = rows(feed(part=Part(1, 1, 2)).validation())
    assert [len(image) for image, _ in batches] == [12, 8]
