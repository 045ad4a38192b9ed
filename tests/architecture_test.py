"""Imports go downward only, and every module has `__all__`."""

import ast
import importlib
import pathlib

import pytest

import tf_mvae

ROOT = pathlib.Path(tf_mvae.__file__).parent

# A module or package may import those of a lower rank, and its own package.
RANKS = [
    ["errors", "serializable"],
    ["checks", "extras", "failures", "files", "names"],
    ["settings"],
    ["ops", "optimization"],
    ["distributions", "layers"],
    ["default_networks", "modality_checks"],
    ["modality"],
    ["group"],
    ["covariate"],
    ["batch_structure", "batch_values"],
    ["batch_covariates"],
    ["batch"],
    ["data"],
    ["posteriors"],
    ["objectives"],
    ["inference"],
    ["models"],
    ["samplers"],
    ["api"],
    ["mudata", "sklearn"],
    ["evaluation", "serving", "visualization"],
    ["experiments"],
    ["training"],
    ["sweeps"],
    ["command", "setting_flags"],
    [
        *("train", "fit_sampler", "evaluate", "generate", "impute", "export", "sweep", "serve"),
        *("inspect_table", "data_service", "__main__"),
    ],
]
COMMANDS = {*RANKS[-2], *RANKS[-1]}
RANK = {unit: rank for rank, units in enumerate(RANKS) for unit in units}
# Users call these inside `tf.function`.
IN_GRAPHS = {"distributions", "inference", "layers", "models", "objectives", "ops", "posteriors"}
MODULES = sorted(path.relative_to(ROOT) for path in ROOT.rglob("*.py"))


def unit_of(path):
    return path.with_suffix("").parts[0]


def imports_of(path):
    """Yields the full name of everything that a file imports, inside functions too."""
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide where they lead"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def units_imported(path):
    names = [name.split(".") for name in imports_of(path)]
    return {parts[1] for parts in names if parts[0] == "tf_mvae" and len(parts) > 1}


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_every_module_has_a_rank(path):
    assert path.name == "__init__.py" and len(path.parts) == 1 or unit_of(path) in RANK


@pytest.mark.parametrize("path", [p for p in MODULES if p.parts != ("__init__.py",)], ids=str)
def test_imports_go_downward_only(path):
    own = unit_of(path)
    for other in units_imported(path) - {own}:
        assert RANK[other] < RANK[own], f"{path} imports tf_mvae.{other}"


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_only_the_commands_read_flags(path):
    reads = any(name.startswith(("absl.flags", "absl.app")) for name in imports_of(path))
    assert not reads or unit_of(path) in COMMANDS


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_tfp_is_used_by_the_distributions_only(path):
    used = any(name.split(".")[0] == "tensorflow_probability" for name in imports_of(path))
    assert not used or unit_of(path) == "distributions"


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_nothing_unpickles(path):
    roots = {name.split(".")[0] for name in imports_of(path)}
    assert not roots & {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}


@pytest.mark.parametrize("path", [p for p in MODULES if unit_of(p) in IN_GRAPHS], ids=str)
def test_autograph_can_read_what_runs_in_graphs(path):
    # It warns of an assignment within an expression, and runs the function as it is.
    nodes = ast.walk(ast.parse((ROOT / path).read_text()))
    assert [node.lineno for node in nodes if isinstance(node, ast.NamedExpr)] == []


@pytest.mark.parametrize("path", [p for p in MODULES if unit_of(p) not in COMMANDS], ids=str)
def test_every_module_lists_what_is_public(path):
    name = ".".join(["tf_mvae", *path.with_suffix("").parts]).removesuffix(".__init__")
    module = importlib.import_module(name)
    assert isinstance(module.__all__, list) and module.__all__
    assert sorted(set(module.__all__)) == sorted(module.__all__)
    assert [entry for entry in module.__all__ if not hasattr(module, entry)] == []
    assert module.__doc__


def test_the_rule_would_notice_an_import_upward():
    """Imports are found, and ranks differ, so `test_imports_go_downward_only` can fail."""
    assert {"modality", "posteriors"} <= units_imported(pathlib.Path("objectives/objective.py"))
    assert "tf_mvae.batch.unpack" in set(imports_of(pathlib.Path("models/base.py")))
    assert "tensorflow_probability.distributions" in set(
        imports_of(pathlib.Path("distributions/gamma.py"))
    )
    assert RANK["ops"] < RANK["models"] < RANK["training"]
