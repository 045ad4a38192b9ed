"""Directories of versions are found by the numbers that their names stand for."""

import pytest

from tf_mvae.serving.versions import LARGEST_VERSION, find_versions, version_number


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0", 0),
        ("1", 1),
        ("01", 1),
        ("000", 0),
        (str(LARGEST_VERSION), LARGEST_VERSION),
        ("0" * 5000 + "7", 7),
        (str(LARGEST_VERSION + 1), None),
        ("9" * 5000, None),
        *((text, None) for text in ("", "-1", "+1", " 1", "1_0", "1.0", "x", "٣", "²")),
    ],
)
def test_the_number_of_a_name(text, number):
    assert version_number(text) == number


def test_of_one_number_the_shortest_name_counts_and_others_are_reported(tmp_path):
    # With microseconds, a date is larger than TensorFlow Serving's type of versions.
    for name in ("01", "1", "001", "002", "20261203060505123456", "notes", ".3.tmp"):
        (tmp_path / name).mkdir()
    (tmp_path / "7").write_text("a file")
    found, ignored = find_versions(tmp_path)
    assert found == {1: tmp_path / "1", 2: tmp_path / "002"}
    assert [sentence.split(" is ")[0] for sentence in ignored] == [
        f"the directory {name}" for name in ("01", "001", "20261203060505123456")
    ]
    assert "1 is the version 1 too; rename one of them" in ignored[0]
    assert f"a number of at most {LARGEST_VERSION}; rename it" in ignored[2]
