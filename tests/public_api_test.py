"""Every public name has a docstring, and the examples of the main names run."""

import ast
import importlib
import inspect
import re

import keras
import numpy as np
import pytest
import tensorflow as tf

import tf_mvae
from tests import pages
from tf_mvae import (
    data,
    distributions,
    evaluation,
    layers,
    likelihoods,
    objectives,
    ops,
    posteriors,
    serving,
    training,
    visualization,
)
from tf_mvae.evaluation import (
    accuracy,
    generation_metrics,
    judges,
    latent_metrics,
    picture_metrics,
    thresholds,
)
from tf_mvae.ops import random, reference, tokens
from tf_mvae.serving import warmup
from tf_mvae.serving.server import budget

_UNIT = re.compile(r"^::: (\S+)", re.M)
_EXAMPLE = re.compile(r"^Example:\n+```python\n(.*?)^```", re.M | re.S)
# What most programs use, by the module that they import it from.
MAIN = {
    tf_mvae: [
        *("MVAE", "MVAEQ", "JMVAE", "TELBO", "BiVCCA", "CVAE", "VAE", "MoPoE", "MVTCAE", "MMVAE"),
        *("MMVAEPlus", "MultimodalVAE", "LinearAnnealing", "Modality", "ModalityGroup"),
        *("Covariate", "SizeFactor", "ProductOfExperts"),
    ],
    likelihoods: [
        *("Bernoulli", "Normal", "Laplace", "StudentT", "Categorical", "Poisson"),
        *("NegativeBinomial", "Columns", "TokenSequence"),
    ],
    data: ["from_arrays", "from_frame"],
    evaluation: ["ImportanceSampler", "Question", "Settings", "update_report"],
    layers: ["conv_encoder", "mlp_encoder"],
    objectives: ["SubsetElbos"],
    ops: ["gaussian_product", "gaussian_product_sample"],
    posteriors: ["MixtureOfExperts", "Product"],
    serving: [
        *("ModelCard", "describe", "example_inputs", "export_format", "export_saved_model"),
        "export_version",
    ],
    training: ["RunConfig", "SamplerSettings"],
    visualization: [
        *("condition_figure", "image_grid", "most_probable", "value_table", "write_calibration"),
        "write_curves",
    ],
}
# Functions and classes of single modules, whose examples import them.
PARTS = {
    accuracy: ["cross_modal_accuracy"],
    budget: ["ByteBudget"],
    generation_metrics: ["GaussianFit", "Neighbourhoods"],
    judges: ["Judge"],
    latent_metrics: ["linear_probe"],
    picture_metrics: ["psnr"],
    random: ["fold_in", "stateless_uniform"],
    reference: ["kl_to_prior"],
    thresholds: ["balanced_thresholds"],
    tokens: ["counted"],
    warmup: ["predict_request"],
}
# Those whose programs use the model of an image and a label that `with_model` adds.
OF_TRAINED = ("ImportanceSampler", "cross_modal_accuracy", "condition_figure", "most_probable")
UNITS = sorted(
    unit
    for page in (pages.ROOT / "docs" / "reference").glob("*.md")
    for unit in _UNIT.findall(page.read_text(encoding="utf-8"))
)


def members(unit):
    """Yields the public classes and functions of a unit of the reference, with their names."""
    module, _, name = unit.rpartition(".")
    if name[0].isupper():
        found = [getattr(importlib.import_module(module), name)]
    else:
        module = importlib.import_module(unit)
        found = [getattr(module, name) for name in getattr(module, "__all__", ())]
    for one in found:
        if inspect.isclass(one) or inspect.isfunction(one):
            yield one


def example(module, name):
    """Returns the program in a docstring."""
    found = _EXAMPLE.search(inspect.getdoc(getattr(module, name)))
    assert found, f"{name} has no example"
    return found[1]


@pytest.mark.parametrize("unit", UNITS)
def test_every_public_name_and_method_has_a_docstring(unit):
    for one in members(unit):
        assert one.__doc__, one
        if inspect.isclass(one):
            fields = getattr(one, "__dataclass_fields__", ())
            own = {n for n, f in vars(one).items() if inspect.isroutine(f) and n not in fields}
            bare = [n for n in own if n[0] != "_" and not inspect.getdoc(getattr(one, n))]
            assert not bare, f"{one.__name__}: {bare}"


@pytest.fixture
def names(tmp_path, monkeypatch):
    """The names that examples use without defining them: imports, and arrays of twenty examples."""
    pd = pytest.importorskip("pandas")
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"age": rng.normal(50, 9, 20), "grade": ["low", "high"] * 10})
    frame.loc[3, "age"] = np.nan
    frame.to_csv("patients.csv", index=False)
    modules = [tf_mvae.api, likelihoods, layers, distributions, *MAIN]
    public = {name: getattr(m, name) for m in modules for name in m.__all__}
    return public | {
        **{"tf_mvae": tf_mvae, "keras": keras, "np": np, "tf": tf, "pd": pd},
        **{"objectives": objectives, "posteriors": posteriors, "likelihoods": likelihoods},
        **{"images": rng.random([20, 28, 28, 1], np.float32), "labels": np.arange(20) % 10},
        **{"photos": rng.random([3, 8, 8, 1], np.float32), "scans": rng.random([20, 6])},
        **{"blood": rng.random([20, 4]), "sites": np.arange(20) % 3, "ages": rng.random(20)},
    }


def with_model(name, names):
    """Adds the model that some examples use."""
    make, modality = tf_mvae.MVAE, tf_mvae.Modality
    if name == "Covariate":
        normal = likelihoods.Normal
        names["modalities"] = [modality("scan", normal([6])), modality("blood", normal([4]))]
    if name == "from_arrays":
        photo = modality("photo", likelihoods.Bernoulli([8, 8, 1]))
        names["model"] = make([photo, modality("kind", likelihoods.Categorical(2))], latent_dim=2)
        names["model"].compile("adam")
    if name in {*OF_TRAINED, *MAIN[serving]}:
        image = modality("image", likelihoods.Bernoulli([28, 28, 1]))
        names["model"] = make([image, modality("label", likelihoods.Categorical(10))], latent_dim=2)


@pytest.mark.parametrize(
    ("module", "name"),
    [pytest.param(module, name, id=name) for module, own in (MAIN | PARTS).items() for name in own],
)
def test_the_example_runs(module, name, names):
    with_model(name, names)
    program = example(module, name)
    for much, little in {"epochs=100": "epochs=1", "num_samples=1000": "num_samples=10"}.items():
        program = program.replace(much, little)
    exec(compile(program, name, "exec"), names)
    # Each line with a comment about its value is one that computes something.
    assert any(isinstance(node, ast.Call) for node in ast.walk(ast.parse(program)))


def test_there_are_thirty_main_names():
    assert sum(map(len, MAIN.values())) >= 30
