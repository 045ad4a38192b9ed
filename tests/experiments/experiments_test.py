"""Experiments: the paper's networks, and their configs."""

import json
from collections import Counter

import numpy as np
import pytest

from tests.experiments.configs import CONFIGS, config_of, read_flags
from tf_mvae import experiments
from tf_mvae.data.parallel_text import text_split
from tf_mvae.errors import UserError
from tf_mvae.experiments import translation
from tf_mvae.settings import parse_weights
from tf_mvae.sweeps.flags import parse_methods, parse_numbers
from tf_mvae.training import RunConfig
from tf_mvae.training.build import build_model
from tf_mvae.training.parts import make_modalities, modality_names

# An experiment has a config of every model that it can be built with, but for
AS_ANOTHER = {  # those whose networks and settings are another's: its config and --experiment
    "binary_mnist_threshold": "binary_mnist",
    "digits": "mnist",
}
WITHOUT = {
    ("celeba19", "vae"),  # celeba's
    ("celeba_transformations", "cvae"),  # five pictures as numbers: 237 million weights
    ("poly_mnist", "cvae"),  # four pictures as numbers
    *(),  # tables differ; one is enough
}

SWEEPS = sorted(p for p in CONFIGS.rglob("*.cfg") if "--methods=" in p.read_text())
BASES = set(CONFIGS.rglob("base.cfg"))
RUNS = sorted(set(CONFIGS.rglob("*.cfg")) - set(SWEEPS) - BASES)
RECORDED = CONFIGS.parent / "tests" / "experiments" / "settings_of_configs.json"

# Wu and Goodman, NeurIPS 2018, Table 1: parameters of the inference network.
_MNIST = {
    "vae": 730_240,
    "cvae": 735_360,
    "bivcca": 1_063_680,
    "jmvae": 2_061_184,
    "mvae_q": 1_063_680,
    "mvae": 1_063_680,
}
TABLE_1 = {
    "mnist": _MNIST,
    "binary_mnist": _MNIST,
    "fashion_mnist": {
        "vae": 3_409_536,
        "cvae": 3_414_656,
        "bivcca": 3_742_976,
        "jmvae": 7_682_432,
        "mvae_q": 3_742_976,
        "mvae": 3_742_976,
    },
    "celeba": {
        "vae": 4_070_472,
        "cvae": 4_079_688,
        "bivcca": 4_447_504,
        "jmvae": 9_052_504,
        "mvae_q": 4_447_504,
        "mvae": 4_447_504,
    },
}
LATENT_DIM = {"celeba": 100, "multi_mnist": 100}


def number_of(variables):
    return sum(int(np.prod(variable.shape)) for variable in variables)


@pytest.mark.parametrize("name", [n for n in experiments.names() if experiments.get(n).names])
def test_the_names_that_an_experiment_declares_are_those_of_its_modalities(name):
    config = RunConfig(experiment=name, model="mvae")
    if experiments.get(name).prepare is not None:  # its modalities need what a run prepares
        assert list(modality_names(config)) == list(config.languages)
        return
    built = {m.name: m.column_names if m.mask_shape else () for m in make_modalities(config)}
    assert modality_names(config) == built and list(modality_names(config)) == list(built)


@pytest.mark.parametrize(
    ("name", "kind", "expected"),
    [(name, kind, number) for name, row in TABLE_1.items() for kind, number in row.items()],
)
def test_inference_networks_have_the_papers_parameters(name, kind, expected):
    config = RunConfig(experiment=name, model=kind, latent_dim=LATENT_DIM.get(name, 64))
    model = build_model(config, 10)
    decoders = sum(number_of(m.decoder.trainable_variables) for m in model.targets)
    assert number_of(model.trainable_variables) - decoders == expected


@pytest.mark.parametrize(("kind", "expected"), [("vae", 1_316_936), ("mvae", 1_841_936)])
def test_multi_mnist_has_the_papers_parameters_but_for_an_id(kind, expected):
    """The paper has 12 symbols; here padding, start and end are ids beside the ten digits.

    An id is a row of 200 in the text's embedding.
    """
    model = build_model(RunConfig(experiment="multi_mnist", model=kind, latent_dim=100), 10)
    parts = [part for m in model.modalities for part in (m.encoder, m.expert_head)]
    inference = sum(number_of(part.trainable_variables) for part in parts)
    assert inference == expected + 200 * (kind == "mvae")


def test_celeba19_has_the_papers_parameters_but_for_what_its_table_counts():
    """Table 1's 10,857,048 are the image's encoder and 18 encoders of the whole 18-vector.

    The text has an attribute of its own encoded by embed(2, 512)-512.
    """
    image = TABLE_1["celeba"]["vae"]
    vector = TABLE_1["celeba"]["mvae"] - image
    head = 512 * 200 + 200
    first, batch_norms = 18 * 512 + 512, 2 * 2 * 512
    assert vector == first + (512 * 512 + 512) + batch_norms + head
    assert image + 18 * vector == 10_857_048
    one = 2 * 512 + (512 * 512 + 512) + head
    model = build_model(RunConfig(experiment="celeba19", latent_dim=100), 10)
    decoders = sum(number_of(m.decoder.trainable_variables) for m in model.targets)
    assert number_of(model.trainable_variables) - decoders == image + 18 * one
    assert image + 18 * one == 10_857_048 - 18 * (first + batch_norms - 2 * 512)


def test_settings_of_other_experiments_and_unknown_members_are_refused():
    with pytest.raises(UserError, match="--attributes is for .* --experiment=mnist does not"):
        build_model(RunConfig(experiment="mnist", attributes=("Bald",)), 10)
    with pytest.raises(UserError, match="--likelihood_weight names 'Balding'"):
        build_model(RunConfig(experiment="celeba19", likelihood_weight={"Balding": 2.0}), 10)
    with pytest.raises(UserError, match="JMVAE takes single modalities only"):
        build_model(RunConfig(experiment="celeba19", model="jmvae"), 10)


@pytest.mark.parametrize("kind", ["mvae", "jmvae", "cvae"])
def test_celebas_networks_take_a_training_step(kind):
    """Their dropout depends on the step's seed only."""
    config = RunConfig(experiment="celeba", model=kind, latent_dim=4, jit_compile=False)
    model = build_model(config, 10)
    rng = np.random.default_rng(0)
    batch = {
        "image": rng.integers(0, 256, [4, 64, 64, 3]).astype(np.uint8),
        "attributes": rng.integers(0, 2, [4, 18]).astype(np.float32),
    }
    losses = [model.elbo(batch, seed=s, training=True).loss.numpy() for s in (1, 1, 2)]
    assert np.isfinite(losses).all() and losses[0] == losses[1] != losses[2]


def test_an_unknown_experiment_lists_those_there_are():
    with pytest.raises(UserError, match="digits.*mnist"):
        experiments.get("mnits")


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
def test_every_config_of_a_sweep_names_what_there_is(path, monkeypatch):
    monkeypatch.chdir(CONFIGS.parent)
    flags = read_flags(path)
    assert flags["experiment"] in experiments.names()
    assert "mvae" in parse_methods(flags["methods"].split(","))
    fractions = parse_numbers("fractions", flags["fractions"].split(","), float)
    assert fractions == tuple(sorted(fractions)) and fractions[-1] == 1


def built(config, folder):
    if config.experiment == "translation":
        text = text_split({name: ["a few words", "and some others"] for name in config.languages})
        translation.prepare(text, folder, config.languages, 30)
        config = config.replace(assets_dir=str(folder))
    if config.experiment == "table":
        rows = "".join(f"{i / 7},{'ab'[i % 2]}\n" for i in range(20))
        (folder / "table.csv").write_text(f"size,kind\n{rows}")
        config = config.replace(table=str(folder / "table.csv"))
    return build_model(config, steps_per_epoch=10)


def test_there_is_a_config_of_every_model_that_an_experiment_can_be_built_with(tmp_path):
    """Whatever has no config is tried, and has to be refused.

    A model or an experiment with one config alone begins with that: others are the experiment's
    base.cfg and --model.
    """
    have = {(path.parent.name, read_flags(path).get("model", "mvae")) for path in RUNS}
    declared = [experiments.get(name) for name in experiments.names()]  # tests declare some too
    own = {e.name for e in declared if e.modalities.__module__.startswith("tf_mvae.")}
    names = own - {*AS_ANOTHER}
    many = [
        {one for one, number in Counter(part).items() if number > 1}
        for part in zip(*have, strict=True)
    ]
    missing = {(name, kind) for name in names & many[0] for kind in many[1]} - have
    assert WITHOUT <= missing
    for name, kind in sorted(missing - WITHOUT):
        with pytest.raises(UserError):
            built(RunConfig(name, model=kind, latent_dim=4), tmp_path)
            pytest.fail(f"configs/{name}/{kind}.cfg is missing")


def test_a_config_has_the_settings_that_it_had_by_itself():
    """The settings were recorded when configs did not include each other."""
    found = {}
    for path in RUNS:
        flags = {"experiment": "digits", **read_flags(path)}
        extra = {"run_dir": flags.pop("run_dir")} if "run_dir" in flags else {}
        config = config_of(flags)
        values = {s.name: v for s, v in config.items() if v != s.default}
        names = {"experiment": config.experiment, "model": config.model}
        found[str(path.relative_to(CONFIGS))] = {**names, **values, **extra}
    recorded = json.loads(RECORDED.read_text())
    assert {name: json.loads(json.dumps(found[name])) for name in recorded} == recorded


def test_configs_of_weak_supervision_name_their_experiment():
    for path in (CONFIGS / "weak_supervision").glob("*.cfg"):
        name = "fashion_mnist" if path.stem.startswith("fashion_") else "mnist"
        assert read_flags(path)["experiment"] == name, path


def test_a_config_says_what_is_its_models_own():
    recipes = {"configs", "weak_supervision"}  # of one run and of sweeps
    for path in RUNS:
        lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
        own = lines[0] == "--flagfile=base.cfg" and len(lines) <= 7
        assert own or path.parent.name in recipes, path


# From day to day all models of one experiment are built, and the others' own: networks are an
# experiment's, and the same for all of its models. Their settings are all compared above.
MODELS = {path.stem for path in RUNS if path.parent.stem == "mnist"} - {"mvae", "mvae_cross"}
BUILT = [
    pytest.param(
        path,
        id=f"{path.parent.stem}-{path.stem}",
        marks=pytest.mark.long if path.stem in MODELS and path.parent.stem != "mnist" else (),
    )
    for path in RUNS
]


@pytest.mark.parametrize("path", BUILT)
def test_every_config_builds_its_model(path, tmp_path):
    flags = {"experiment": "digits", **read_flags(path)}  # a config may be put behind another
    flags.pop("run_dir", None)
    model = built(config_of(flags), tmp_path)
    likelihood, cross = (
        parse_weights(flags[name].split(",")) if name in flags else {}
        for name in ("likelihood_weight", "cross_weight")
    )
    for modality in model.modalities:
        weight = likelihood.get(modality.name, 1.0)
        assert set(np.ravel(modality.likelihood_weight)) == {weight}
        assert set(np.ravel(modality.cross_weight)) == {cross.get(modality.name, weight)}
    assert type(model).__name__.lower() == flags.get("model", "mvae").replace("_", "")


@pytest.mark.parametrize("name", ["celeba", "celeba19"])
def test_the_papers_settings_of_celeba(name):
    flags = read_flags(CONFIGS / name / "mvae.cfg")
    assert flags["latent_dim"] == "100"
    assert flags["likelihood_weight"] == "image=1,attributes=10"
    assert flags["cross_weight"] == "image=0,attributes=0"
    assert (flags["epochs"], flags["annealing_epochs"]) == ("100", "20")
    assert (flags["batch_size"], flags["learning_rate"]) == ("100", "1e-4")


def test_the_papers_settings_of_the_vision_case_study():
    flags = read_flags(CONFIGS / "celeba_transformations" / "mvae.cfg")
    assert flags["latent_dim"] == "250"
    assert set(parse_weights(flags["likelihood_weight"].split(",")).values()) == {1}
    assert set(parse_weights(flags["cross_weight"].split(",")).values()) == {0}
    assert (flags["epochs"], flags["annealing_epochs"]) == ("100", "20")
    assert (flags["batch_size"], flags["learning_rate"]) == ("50", "1e-4")


@pytest.mark.parametrize("name", ["mnist", "binary_mnist", "fashion_mnist"])
def test_the_papers_settings(name):
    flags = read_flags(CONFIGS / name / "mvae.cfg")
    assert flags["latent_dim"] == "64"
    assert flags["likelihood_weight"] == "image=1,label=50"
    assert flags["cross_weight"] == "image=0,label=0"
    assert (flags["epochs"], flags["annealing_epochs"]) == ("500", "200")
    assert (flags["batch_size"], flags["learning_rate"]) == ("100", "1e-3")


@pytest.mark.parametrize(
    "path",
    [p for p in RUNS if p.stem in ("jmvae", "bivcca") and p.parent.stem != "weak_supervision"],
    ids=lambda path: f"{path.parent.stem}-{path.stem}",
)
def test_the_papers_settings_of_what_it_compares_with(path):
    flags = read_flags(path)
    assert set(parse_weights(flags["likelihood_weight"].split(",")).values()) == {1}
    assert flags.get("alpha") == ("0.01" if flags["model"] == "jmvae" else None)
