"""Sentences in two languages, from text files to translations."""

import json
import shutil
import sys

import numpy as np
import pytest

from tests import processes
from tests.experiments import configs
from tf_mvae.data.conditions import parse_conditions
from tf_mvae.data.vocabulary import Vocabulary
from tf_mvae.errors import UserError
from tf_mvae.experiments import registry, translation
from tf_mvae.models.sentences import said
from tf_mvae.ops.tokens import END
from tf_mvae.training import RunConfig, load_run, train
from tf_mvae.training.assets import run_assets
from tf_mvae.training.build import build_model
from tf_mvae.training.incomplete import batch_composition, incomplete_split
from tf_mvae.training.parts import options_of
from tf_mvae.training.run_directory import RunDirectory
from tf_mvae.training.splits import load_split

VERBS = {"Open": "Mở", "Close": "Đóng", "Save": "Lưu", "Delete": "Xoá"}
THINGS = {"the file": "tập tin", "the window": "cửa sổ", "this folder": "thư mục này"}
METRICS = ("BLEU", "chrF", "BLEU by chance", "chrF by chance")
WHEN = {"now": "bây giờ", "again": "lần nữa", "later": "sau", "twice": "hai lần", "": ""}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Sixty pairs of sentences; the last one of the test split has no Vietnamese."""
    folder = tmp_path_factory.mktemp("en_vi")
    pairs = [
        (f"{verb} {thing} {when}".strip(), f"{VERBS[verb]} {THINGS[thing]} {WHEN[when]}".strip())
        for verb in VERBS
        for thing in THINGS
        for when in WHEN
    ]
    pairs = [pairs[place] for place in np.random.default_rng(0).permutation(60)]
    splits = {"train": pairs, "validation": pairs[:12], "test": [*pairs[:9], (pairs[9][0], "")]}
    for split, rows in splits.items():
        for place, language in enumerate(("en", "vi")):
            text = "".join(row[place] + "\n" for row in rows)
            (folder / f"{split}.{language}").write_text(text, encoding="utf-8")
    return folder


def config_of(corpus, **changes):
    settings = {
        "dataset_dir": str(corpus),
        "vocabulary_size": 60,
        "max_length": 28,
        "bucket_batches": 2,
        "latent_dim": 8,
        "epochs": 2,
        "annealing_epochs": 1,
        "batch_size": 10,
        "learning_rate": 0.01,
        "jit_compile": False,
        "word_dropout": 0.2,
        "free_bits": 0.1,
    }
    flags = configs.read_flags(configs.CONFIGS / "translation" / "mvae.cfg")
    return configs.config_of(flags, **{**settings, **changes})


@pytest.fixture(scope="module", autouse=True)
def _small_networks():
    before, translation._UNITS = translation._UNITS, 16
    yield
    translation._UNITS = before


@pytest.fixture(scope="module")
def run_dir(corpus, tmp_path_factory):
    path = tmp_path_factory.mktemp("run") / "run"
    train(config_of(corpus), path, checkpoint_steps=2)
    return path


def command(name, run_dir, *flags):
    """Runs a command in a process with small networks; returns its output."""
    program = (
        "import sys; sys.argv[0] = '-m'; from tf_mvae.experiments import translation; "
        f"translation._UNITS = 16; from tf_mvae import command, {name}; command.run({name}.main)"
    )
    done = processes.run("-c", program, f"--run_dir={run_dir}", *flags)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_run_leaves_vocabularies_sentences_and_a_model(run_dir):
    assert {p.name for p in (run_dir / "assets").iterdir()} == {"en.model", "vi.model"}
    said = (run_dir / "sentences" / "epoch_0002.txt").read_text(encoding="utf-8")
    first = (said.splitlines()[1], said.splitlines()[2])
    assert first[0].startswith("  en: ") and first[1].startswith("  vi: ")
    assert "  vi given en: " in said and "samples from the prior" in said
    rows = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    assert rows[1]["val_elbo"] > rows[0]["val_elbo"] + 1
    flags = (run_dir / "flags.cfg").read_text()
    assert "languages=en,vi" in flags and "assets" not in flags


def test_a_stopped_run_goes_on_with_its_vocabularies_to_the_same_weights(
    corpus, run_dir, tmp_path, training_alone
):
    again = tmp_path / "run"
    shutil.copytree(run_dir, again)
    (again / "finished.json").unlink()
    newest = max((again / "checkpoints").glob("step-*"))
    shutil.rmtree(newest)
    train(config_of(corpus), again, checkpoint_steps=2)
    assert newest.is_dir()
    for name in ("en.model", "vi.model"):
        assert (again / "assets" / name).read_bytes() == (run_dir / "assets" / name).read_bytes()
    one, other = (load_run(path, "last").model for path in (run_dir, again))
    for ours, theirs in zip(one.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_generate_prints_sentences(run_dir):
    flags = ["--condition=en=Open the file now", "--decoding=beam", "--beam_width=4"]
    lines = command("generate", run_dir, *flags, "--num_samples=3").strip().splitlines()
    assert len(lines) == 4 and all(line.startswith("vi: ") for line in lines)
    scores = [float(line.rsplit("(", 1)[1].removesuffix(" nats)")) for line in lines]
    assert scores == sorted(scores, reverse=True) and scores[0] < 0


def test_sentences_are_said_in_each_way_and_repeat_with_their_seed(run_dir):
    run = load_run(run_dir)
    given = parse_conditions(["en=Open the file now"], run.model.modalities, run.tokenizers())
    assert run.tokenizers()["en"].decode(given["en"]) == ["Open the file now"]
    for decoding, number in (("greedy", 1), ("sample", 3), ("beam", 4)):
        one, again = (said(run.model, given, 3, decoding, 4, seed=5) for _ in range(2))
        assert one == again and list(one) == ["vi"] and len(one["vi"]) == number
    nothing = said(run.model, {}, 2)
    assert [(name, len(texts)) for name, texts in nothing.items()] == [("en", 2), ("vi", 2)]
    # With one sample of the latent and no noise it is the plain greedy sentence.
    ids = run.model.generate(given, temperature=0.0)["vi"][0]
    (plain,) = run.model.modalities[1].likelihood.text(ids)
    assert said(run.model, given, 1, temperature=0.0) == {"vi": [(plain, None)]}


def test_too_long_a_condition_is_refused(run_dir):
    run = load_run(run_dir)
    with pytest.raises(UserError, match="has more than the 28 symbols"):
        condition = "en=" + "Open the file " * 20
        parse_conditions([condition], run.model.modalities, run.tokenizers())


def test_evaluate_scores_every_direction_beside_the_baseline(run_dir):
    flags = ["--analysis=translation,translation_baseline", "--num_samples=3"]
    printed = command("evaluate", run_dir, *flags)
    report = json.loads((run_dir / "evaluation.json").read_text())
    assert report["translation"]["settings"]["decoding"] == "greedy"
    for analysis in ("translation", "translation_baseline"):
        results = report[analysis]["results"]
        expected = [f"{t} | {s}: {m}" for s, t in (("en", "vi"), ("vi", "en")) for m in METRICS]
        assert sorted(results) == sorted(expected)
        for name, result in results.items():
            assert result["examples"] == 9  # the tenth pair has no Vietnamese
            assert 0 <= result["value"] <= 100 and name in printed
    assert "by the model: " in (run_dir / "evaluation" / "translation.txt").read_text()


def test_the_vocabulary_is_made_of_what_the_run_may_see_alone(corpus, tmp_path, monkeypatch):
    experiment = registry.get("translation")
    config = config_of(corpus, paired_fraction=0.1)
    options = options_of(config, experiment)
    original, seen = Vocabulary.train, []

    def record(sentences, size):
        seen.append([text for text in sentences if text])
        return original(seen[-1], size)

    monkeypatch.setattr(Vocabulary, "train", record)
    experiment.prepare(incomplete_split(config, "train"), tmp_path, **options)
    # 6 of 60 pairs stay whole; of the other 54 each keeps one language.
    assert [len(texts) for texts in seen] == [6 + 27, 6 + 27]
    split = incomplete_split(config.replace(assets_dir=str(tmp_path)), "train")
    vocabularies = translation.vocabularies(str(tmp_path), ["en", "vi"])
    for (name, vocabulary), texts in zip(vocabularies.items(), seen, strict=True):
        rows = [example["x"][name] for example in split.dataset.as_numpy_iterator()]
        kept = [row for row in rows if row.any()]
        assert vocabulary.decode(np.array(kept)) == texts
        assert split.presence[name].tolist() == [float(row.any()) for row in rows]


def test_a_vae_of_one_language_has_a_vocabulary_of_it_alone(corpus, tmp_path, training_alone):
    config = config_of(corpus, model="vae", modality="vi", epochs=1, paired_fraction=0.1)
    with pytest.raises(
        UserError, match="--model=vae learns from complete .* 60 .* 33 are complete: add"
    ):
        train(config, tmp_path / "run")
    train(config.replace(drop_incomplete=True), tmp_path / "run")
    run = load_run(tmp_path / "run")
    assert [modality.name for modality in run.model.modalities] == ["vi"]
    assert [path.name for path in (tmp_path / "run" / "assets").iterdir()] == ["vi.model"]
    # It sees the sentences that an mvae of its pairs would see, 6 pairs and 27 of 54 others.
    seen = [row["x"]["vi"] for row in run.seen_split("train").dataset.as_numpy_iterator()]
    assert len(seen) == 33 and all(row.any() for row in seen)
    assert list(run.text("test")) == ["vi"] and run.text("test")["vi"][-1] == ""
    texts = run.text("train")["vi"]
    assert {*run.tokenizers()["vi"].decode(np.array(seen))} <= {*texts}


def test_a_vae_is_of_the_first_language_unless_another_is_named(corpus, tmp_path):
    for languages, modality, own in ((("vi", "en"), None, "vi"), (("en", "vi"), "vi", "vi")):
        config = config_of(corpus, model="vae", languages=languages, modality=modality)
        assert list(load_split(config, "train").dataset.element_spec["x"]) == [own]
    with pytest.raises(UserError, match="--modality=fr is unknown; choose one of en, vi"):
        train(config_of(corpus, model="vae", modality="fr"), tmp_path / "run")


@pytest.fixture
def gaps(corpus, tmp_path):
    """The corpus with the Vietnamese of the first ten training pairs missing."""
    folder = tmp_path / "gaps"
    shutil.copytree(corpus, folder)
    lines = (corpus / "train.vi").read_text(encoding="utf-8").splitlines()
    (folder / "train.vi").write_text("\n" * 10 + "\n".join(lines[10:]), encoding="utf-8")
    return folder


def test_text_with_gaps_is_treated_as_what_a_flag_takes_away(gaps, tmp_path):
    with pytest.raises(
        UserError, match="--model=jmvae learns .* in split 'train' 50 are complete: add"
    ):
        train(config_of(gaps, model="jmvae"), tmp_path / "run")
    config = config_of(gaps, model="jmvae", drop_incomplete=True)
    with run_assets(config, RunDirectory(tmp_path / "run")) as made:
        split = incomplete_split(made, "train")
        assert split.num_examples == 50 and split.steps_per_epoch(10) == 6
        assert incomplete_split(made, "validation").num_examples == 12
    config = config_of(gaps, paired_share=0.2)
    with run_assets(config, RunDirectory(tmp_path / "run")) as made:
        composition = batch_composition(made, incomplete_split(made, "train"))
        assert [stratum.rows for stratum in composition] == [2, 8]
    # A vae of the language that lacks nothing has all that it wants.
    assert incomplete_split(config_of(gaps, model="vae"), "train").num_examples == 60


def test_flags_for_gaps_are_refused_where_there_are_none(corpus, gaps):
    for flags in ({"drop_incomplete": True}, {"paired_share": 0.2}):
        with pytest.raises(UserError, match=f"--{next(iter(flags))} is for data with missing"):
            incomplete_split(config_of(corpus, **flags), "train")
    # Where the validation split alone has some, leaving them out is of use.
    shutil.copy(gaps / "train.vi", gaps / "validation.vi")
    shutil.copy(gaps / "train.en", gaps / "validation.en")
    shutil.copy(corpus / "train.vi", gaps / "train.vi")
    config = config_of(gaps, model="jmvae", drop_incomplete=True)
    sizes = [incomplete_split(config, name).num_examples for name in ("train", "validation")]
    assert sizes == [60, 50]


def test_a_missing_sentence_is_a_missing_part(corpus, run_dir):
    run = load_run(run_dir)
    split = run.split("test")
    assert split.presence["vi"].tolist() == [1.0] * 9 + [0.0]
    assert split.presence["en"].tolist() == [1.0] * 10
    assert run.text("test")["vi"][-1] == ""
    vocabulary = run.tokenizers()["vi"]
    (batch,) = run.batches("test", 10)
    assert vocabulary.decode(batch["x"]["vi"])[:9] == run.text("test")["vi"][:9]
    likelihood = run.model.modalities[1].likelihood
    assert likelihood.text(batch["x"]["vi"])[:9] == run.text("test")["vi"][:9]


def test_what_is_missing_or_damaged_is_told_in_one_line(corpus, run_dir, tmp_path, monkeypatch):
    with pytest.raises(UserError, match="in a run's assets/"):
        build_model(config_of(corpus), 10)
    with pytest.raises(UserError, match="--languages is for --experiment=translation; "):
        build_model(RunConfig("mnist", languages=("en", "de")), 10)
    with pytest.raises(UserError, match="language 'en': a vocabulary of 5 cannot be made"):
        train(config_of(corpus, vocabulary_size=5), tmp_path / "run")
    assert not (tmp_path / "run").exists()
    config = config_of(corpus, assets_dir=str(tmp_path))
    (tmp_path / "en.model").write_bytes(b"no model")
    with pytest.raises(UserError, match="en.model is no SentencePiece model"):
        load_split(config, "test")
    monkeypatch.setitem(sys.modules, "sentencepiece", None)
    with pytest.raises(UserError, match=r"pip install 'tf-mvae\[translation\]'"):
        load_run(run_dir)


def test_longer_sentences_are_cut_and_counted(corpus, run_dir, caplog):
    config = load_run(run_dir).config.replace(max_length=4)
    caplog.clear()
    (example, *_) = load_split(config, "train").dataset.as_numpy_iterator()
    assert example["x"]["vi"].shape == (4,) and END not in example["x"]["vi"]
    told = [record.getMessage() for record in caplog.records]
    assert told[-1] == (
        "train: 60 of 60 sentences in vi are longer than --max_length=4 and were cut"
    )
