"""The BUILD files list every source and test that there is, and nothing that is not.

They are read as Bazel reads them: their language is a part of Python's, so that they run here
with functions that note what a rule was given.
"""

import pathlib

import pytest

ROOT = pathlib.Path(__file__).parents[1]
SOURCES = {
    ".": ("*.py", "benchmarks/**/*.py", "docs/**/*.py"),
    "custom_ops": ("**/*.py", "**/*.cc", "**/*.h"),
    "tests": ("**/*.py",),
    "tf_mvae": ("**/*.py",),
}
BUILT = "custom_ops/build/"


class Label(str):
    """A string that stands for something a BUILD file loads; calls to it are rules."""


def targets_of(folder, text):
    """Returns what a BUILD file declares, as (rule, attributes)."""
    targets = []

    def rule(kind):
        return lambda **attributes: targets.append((kind, attributes))

    def loaded(_, *names):
        for name in names:
            names_here[name] = rule(name) if name.islower() else Label(name)

    kinds = ["cc_binary", "cc_library", "cc_test", "py_binary", "py_library", "py_test"]
    kinds += ["alias", "filegroup", "genrule", "package"]
    names_here = {kind: rule(kind) for kind in kinds}
    names_here |= {
        "load": loaded,
        "exports_files": lambda files: None,
        "glob": lambda patterns, exclude=(): [
            str(path.relative_to(ROOT / folder))
            for pattern in patterns
            for path in (ROOT / folder).glob(pattern)
        ],
        "select": lambda choices: [label for labels in choices.values() for label in labels],
    }
    exec(compile(text, f"{folder}/BUILD", "exec"), names_here)
    return targets


def files_of(attributes):
    """Returns the source files that a target lists, by their names in its folder."""
    named = [*attributes.get("srcs", []), *attributes.get("hdrs", [])]
    if "src" in attributes:
        named.append(attributes["src"])
    if "main" in attributes:
        named.append(attributes["main"])
    return {name.removeprefix(":") for name in named if not name.startswith(("//", "@"))}


def listed(folder, kinds=None):
    """Returns the files in a folder's BUILD file, of targets of these kinds or of all.

    A filegroup may take whatever there is, and so lists nothing.
    """
    targets = targets_of(folder, (ROOT / folder / "BUILD").read_text())
    return {
        file
        for kind, attributes in targets
        if kind != "filegroup" and (kinds is None or kind in kinds)
        for file in files_of(attributes)
    }


def sources(folder):
    """Returns the source files in a folder, as its BUILD file would name them."""
    found = {path for pattern in SOURCES[folder] for path in (ROOT / folder).glob(pattern)}
    return {
        str(path.relative_to(ROOT / folder))
        for path in found
        if not str(path.relative_to(ROOT)).startswith(BUILT)
    }


def missing(folder, kinds=None, suffix=""):
    return sorted(file for file in sources(folder) - listed(folder, kinds) if file.endswith(suffix))


@pytest.mark.parametrize("folder", SOURCES)
def test_every_source_is_listed(folder):
    assert not missing(folder), f"add to {folder}/BUILD: {missing(folder)}"


@pytest.mark.parametrize("folder", SOURCES)
def test_every_file_that_is_listed_exists(folder):
    gone = sorted(file for file in listed(folder) if not (ROOT / folder / file).exists())
    assert not gone, f"take out of {folder}/BUILD: {gone}"


def test_every_test_is_run_as_a_test():
    assert not missing("tests", ["python_test"], "_test.py")
    assert not missing("custom_ops", ["cc_test"], "_test.cc")
    # CUDA's is built by a command, for Bazel has no rule for nvcc.
    assert not missing("custom_ops", ["genrule"], "_test.cu.cc")


def test_a_missing_file_is_noticed():
    text = """
py_library(name = "a", srcs = ["a.py"] + ["b.py"])
[cc_test(name = n, srcs = [n + ".cc"]) for n in ["c"]]
"""
    found = targets_of("tests", text)
    assert [files_of(attributes) for _, attributes in found] == [{"a.py", "b.py"}, {"c.cc"}]
