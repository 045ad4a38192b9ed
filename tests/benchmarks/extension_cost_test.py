"""The worked examples of CONTRIBUTING.md touch few files, and the new parts are registered."""

import ast

import pytest

from benchmarks import extension_cost


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    folder = tmp_path_factory.mktemp("copy")
    extension_cost.copy_of_the_repository(folder)
    return folder


def test_examples_touch_as_few_files_as_is_said(copy):
    examples = extension_cost.examples()
    assert list(examples) == list(extension_cost.GOALS)
    for title, files in examples.items():
        assert any(path.endswith("_test.py") for path, _, _ in files), title
        for path, language, text in files:
            assert language != "python" or ast.parse(text), path
        assert extension_cost.carry_out(files, copy) <= extension_cost.GOALS[title], title
    added = {"joint_product", "spirals", "latent_use"}
    shown = extension_cost.listing(copy)
    assert all(name in shown for name in added)


def test_a_file_that_is_there_is_not_written_over(copy):
    files = [("tf_mvae/names.py", "python", "")]
    with pytest.raises(ValueError, match="there already"):
        extension_cost.carry_out(files, copy)


def test_a_line_that_is_not_there_is_named():
    with pytest.raises(ValueError, match="0 lines that begin with 'three'"):
        extension_cost._with_lines_added("one\ntwo\n", " three\n+four\n", "x.py")
    added = extension_cost._with_lines_added("one\ntwo\n", " on\n+a\n+b\n", "x.py")
    assert added == "one\na\nb\ntwo\n"
