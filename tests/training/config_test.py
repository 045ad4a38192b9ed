"""The configuration of a run and its flagfile."""

import pytest

from tf_mvae.errors import UserError
from tf_mvae.settings import parse_weights
from tf_mvae.training import RunConfig

CONFIG = RunConfig(
    "mnist", data_dir="/data", likelihood_weight={"image": 1.0, "label": 0.1}, jit_compile=False
)
BASELINE = RunConfig(
    "mnist",
    model="cvae",
    modality="label",
    learning_rate_schedule="cosine",
    mixed_precision="mixed_float16",
    gradient_accumulation_steps=4,
    clip_norm=0.5,
    ema=0.999,
    warmup_steps=100,
    jit_compile="auto",
)
QUOTIENT = RunConfig(
    "celeba_transformations",
    model="mvae_q",
    term_weight={"everything": 0.5, "label": 1e-7},
    self_training_weight=0.5,
    paired_fraction=0.25,
    transformations=("image", "edges"),
    absent_segmentation=True,
)


@pytest.mark.parametrize("config", [CONFIG, BASELINE, QUOTIENT], ids=lambda config: config.model)
def test_a_flagfile_gives_the_same_configuration(tmp_path, config):
    config.write(tmp_path / "flags.cfg")
    assert RunConfig.read(tmp_path / "flags.cfg") == config
    assert config.replace(seed=1) != config == config.replace(seed=1).replace(seed=0)


def test_it_has_the_settings_of_its_model_and_experiment_alone():
    config = RunConfig("celeba19", model="jmvae")
    assert (config.alpha, config.absent_attributes, config.batch_size) == (0.1, False, 100)
    for name in ("bound", "languages", "checkpoint_steps"):
        assert config.get(name) is None and not hasattr(config, name)
    with pytest.raises(AttributeError, match="is immutable"):
        config.seed = 3
    assert repr(config.replace(seed=3)) == "RunConfig('celeba19', 'jmvae', seed=3)"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"alpha": 0.5}, "--alpha is for --model=jmvae; --model=mvae does not have it"),
        ({"self_training_weight": 0.5, "model": "vae"}, "is for --model=mvae and mvae_q; --model"),
        ({"attributes": ("Bald",)}, "--attributes is for --experiment=celeba and celeba19; --exp"),
        ({"colour": 3}, "there is no setting 'colour'"),
        (
            {"paired_fraction": 0.5, "paired_examples": 3},
            "give one of --paired_fraction and",
        ),
        ({"experiment": "mnits"}, "--experiment=mnits is not known .did you mean mnist.*module:n"),
    ],
)
def test_settings_without_use_are_refused(settings, message):
    with pytest.raises(UserError, match=message):
        RunConfig(**{"experiment": "mnist", **settings})


def test_other_models_settings_at_their_defaults_are_no_mistake():
    """The flagfile of an earlier version has all settings of all models."""
    assert RunConfig("mnist", alpha=0.1, num_modalities=10, languages=("en", "vi")) == RunConfig(
        "mnist"
    )


def test_an_earlier_runs_settings_that_its_model_did_not_heed_are_dropped(tmp_path):
    text = "--experiment=mnist\n--model=jmvae\n--self_training_weight=0.5\n--seed=3\n"
    (tmp_path / "flags.cfg").write_text(text)
    assert RunConfig.read(tmp_path / "flags.cfg") == RunConfig("mnist", model="jmvae", seed=3)


def test_differences_name_the_flags_but_not_where_the_data_are():
    other = RunConfig("mnist", data_dir="/elsewhere", seed=3)
    words = " ".join(CONFIG.differences(other))
    assert "--seed=3 (was 0)" in words
    assert "data_dir" not in words
    assert CONFIG.differences(CONFIG) == []
    one = RunConfig("digits", term_weight={"label": 1.0})
    assert one.differences(RunConfig("digits")) == []
    weighed = RunConfig("digits", term_weight={"label": 0.1})
    assert RunConfig("digits").differences(weighed) == ["--term_weight=label=0.1 (was omitted)"]


def test_another_model_is_a_difference_and_its_settings_are_not_one_more():
    (words,) = RunConfig("digits", model="jmvae").differences(RunConfig("digits"))
    assert words == "--model=mvae (was jmvae)"


def test_a_data_set_may_move_but_not_be_another():
    config = RunConfig("celeba19", dataset_dir="/home/me/faces/1.0.0")
    moved = RunConfig("celeba19", dataset_dir="elsewhere/faces/1.0.0")
    assert config.differences(moved) == []
    for other in ("/home/me/faces/1.0.1", "/home/me/pets/1.0.0", None):
        (words,) = config.differences(RunConfig("celeba19", dataset_dir=other))
        assert "--dataset_dir=" in words
    texts = RunConfig("translation", dataset_dir="/home/me/en_vi")
    assert texts.differences(RunConfig("translation", dataset_dir="en_vi")) == []
    assert texts.differences(RunConfig("translation", dataset_dir="/home/me/en_fr"))


@pytest.mark.parametrize(
    "text", ["--seed", "--seed=x", "--colour=3", "--jit_compile=maybe", "junk"]
)
def test_a_damaged_flagfile_is_named(tmp_path, text):
    (tmp_path / "flags.cfg").write_text("--experiment=mnist\n" + text)
    with pytest.raises(UserError, match=r"flags\.cfg"):
        RunConfig.read(tmp_path / "flags.cfg")


@pytest.mark.parametrize("item", ["image", "image=", "image=x", "image=-1", "image=nan", "=1=2"])
def test_a_wrong_weight_is_named(item):
    with pytest.raises(UserError, match="image=1,label=50"):
        parse_weights([item])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epochs", 0),
        ("batch_size", 0),
        ("latent_dim", -1),
        ("learning_rate", 0.0),
        ("seed", -1),
        ("seed", 2**31),
        ("annealing_epochs", -1),
        ("num_random_subsets", -1),
        ("model", "nonsense"),
        ("alpha", -0.1),
        ("alpha", float("nan")),
        ("learning_rate_schedule", "linear"),
        ("mixed_precision", "bfloat16"),
        ("gradient_accumulation_steps", 0),
        ("clip_norm", -1.0),
        ("clip_norm", float("nan")),
        ("ema", 1.0),
        ("ema", float("nan")),
        ("warmup_steps", -1),
        ("self_training_weight", 0.0),
        ("jit_compile", "maybe"),
        ("bucket_batches", -1),
        ("self_training_weight", float("nan")),
    ],
)
def test_a_wrong_number_is_named(name, value):
    with pytest.raises(UserError, match=f"--{name}"):
        RunConfig("mnist", **{"model": "jmvae" if name == "alpha" else "mvae", name: value})
