"""The configuration of a run and its flagfile."""

import pytest

from tf_mvae.errors import UserError
from tf_mvae.training import RunConfig
from tf_mvae.training.config import parse_weights

CONFIG = RunConfig(
    "mnist", data_dir="/data", likelihood_weight={"image": 1.0, "label": 0.1}, jit_compile=False
)
BASELINE = RunConfig(
    "mnist",
    model="cvae",
    term_weight={"everything": 0.5, "label": 1e-7},
    modality="label",
    alpha=0.01,
    learning_rate_schedule="cosine",
    mixed_precision="mixed_float16",
    gradient_accumulation_steps=4,
    clip_norm=0.5,
    ema=0.999,
    warmup_steps=100,
    self_training_weight=0.5,
    jit_compile="auto",
)


@pytest.mark.parametrize("config", [CONFIG, BASELINE], ids=lambda config: config.model)
def test_a_flagfile_gives_the_same_configuration(tmp_path, config):
    config.write(tmp_path / "flags.cfg")
    assert RunConfig.read(tmp_path / "flags.cfg") == config


def test_differences_name_the_flags_but_not_where_the_data_are():
    other = RunConfig("mnist", data_dir="/elsewhere", seed=3)
    words = " ".join(CONFIG.differences(other))
    assert "--seed=3 (was 0)" in words
    assert "data_dir" not in words
    assert CONFIG.differences(CONFIG) == []
    one = RunConfig("digits", term_weight={"label": 1.0})
    assert one.differences(RunConfig("digits")) == []
    weighed = RunConfig("digits", term_weight={"label": 0.1})
    assert RunConfig("digits").differences(weighed) == ["--term_weight=label=0.1 (was left out)"]


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
        RunConfig("mnist", **{name: value})
