"""BUILD files name files that exist, and custom_ops/BUILD names every C++ source."""

import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).parents[1]


def named(folder):
    """Returns the source files that a BUILD file names, apart from those of other packages."""
    text = (ROOT / folder / "BUILD").read_text()
    return set(re.findall(r'"([\w./]+\.(?:py|cc|h))"', text)) - {".py"}


@pytest.mark.parametrize("folder", [".", "custom_ops", "tests", "tf_mvae"])
def test_every_file_that_is_named_exists(folder):
    gone = sorted(file for file in named(folder) if not (ROOT / folder / file).exists())
    assert not gone, f"take out of {folder}/BUILD: {gone}"


def test_every_cpp_source_is_named():
    folder = ROOT / "custom_ops"
    found = {str(path.relative_to(folder)) for path in (folder / "cc").rglob("*.[ch]*")}
    programs = {"cc/lib/gaussian_product_gpu_test.cu.cc", "cc/lib/gaussian_product_gpu_bench.cu.cc"}
    missing = found - named("custom_ops") - programs  # "..._%s.cu.cc" names the programs
    assert not missing, f"add to custom_ops/BUILD: {sorted(missing)}"
