"""JSON responses are written in pieces, and parse to the same values."""

import json

import numpy as np
import pytest

from tf_mvae.serving.server import answers
from tf_mvae.serving.server.answers import join_answers, write_answer

RANDOM = np.random.default_rng(0)


def read(outputs, rows=False, examples=1):
    return json.loads(b"".join(join_answers([write_answer(outputs, rows, examples)], rows)))


@pytest.mark.parametrize(
    "shape",
    [
        (),
        (0,),
        (3,),
        (5000,),
        (0, 3),
        (3, 0),
        (70, 784),
        (1, 20_000),
        (2, 3, 5000),
        (1, 1, 1, 9000),
    ],
)
def test_an_array_of_any_shape(shape):
    array = np.asarray(RANDOM.normal(size=shape), np.float32)
    found = read({"x": array})["outputs"]
    np.testing.assert_array_equal(np.array(found, np.float32).reshape(shape), array)
    assert np.shape(found) == shape or 0 in shape
    both = read({"x": array, "n": np.arange(3)})["outputs"]
    assert both == {"x": found, "n": [0, 1, 2]}


def test_values_that_are_no_numbers():
    array = np.zeros([9000], np.float32)
    array[5000] = np.nan
    found = read({"x": array})["outputs"]
    assert len(found) == 9000 and found[5000] != found[5000] and found[8999] == 0
    words = np.array([b"a", "é".encode(), b"\xff"] * 2000, object)
    assert read({"s": words})["outputs"][:3] == ["a", "é", {"b64": "/w=="}]
    assert read({"s_bytes": words[:1]})["outputs"] == [{"b64": "YQ=="}]


@pytest.mark.parametrize("size", [1, 100, 5000])
def test_rows_of_several_outputs(size):
    outputs = {"x": RANDOM.normal(size=[130, size]), "n": np.arange(130)}
    found = read(outputs, rows=True, examples=130)["predictions"]
    assert [row["n"] for row in found] == list(range(130))
    np.testing.assert_array_equal([row["x"] for row in found], outputs["x"])
    single = read({"x": outputs["x"]}, rows=True, examples=130)["predictions"]
    np.testing.assert_array_equal(single, outputs["x"])


def test_parts_follow_one_another():
    x = RANDOM.normal(size=[10, 3])
    for rows in (False, True):
        for names in ("x", "xy"):
            whole = {name: x for name in names}
            parts = [
                write_answer({n: v[a:b] for n, v in whole.items()}, rows, b - a)
                for a, b in ((0, 4), (4, 9), (9, 10))
            ]
            found = json.loads(b"".join(join_answers(parts, rows)))
            assert found == read(whole, rows, 10)


def test_few_numbers_are_written_at_once(monkeypatch):
    """A piece is small, because writing it blocks the interpreter."""
    sizes, dump = [], answers._dump

    def counted(value):
        sizes.append(np.size(value) if isinstance(value, np.ndarray) else 0)
        return dump(value)

    monkeypatch.setattr(answers, "_dump", counted)
    blocks = join_answers([write_answer({"x": np.zeros([4096, 784], np.float32)}, False, 1)], False)
    assert max(sizes) <= 4096 and sum(sizes) == 4096 * 784
    assert max(map(len, blocks)) < 1 << 18
