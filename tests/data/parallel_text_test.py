"""Aligned text from files, tables and TFDS, and error messages for wrong data."""

import numpy as np
import pytest
import tensorflow_datasets as tfds

from tf_mvae.data.parallel_text import read_parallel_text, text_split
from tf_mvae.errors import UserError

ENGLISH = ["Open the file", "  Close it ", "", "One more\x0cline\u2028here"]
VIETNAMESE = ["Mở tập tin", "\u200b\ufeff", "", "Một dòng nữa"]  # the second is invisible
READ = {
    "en": ["Open the file", "Close it", "One more\x0cline\u2028here"],
    "vi": ["Mở tập tin", "", "Một dòng nữa"],
}


def write(path, lines, end="\n"):
    path.write_bytes(end.join([*lines, ""]).encode("utf-8"))


@pytest.mark.parametrize(
    ("split", "stem"), [("train", "train"), ("validation", "tst2012"), ("test", "tst2013")]
)
def test_a_file_a_language_is_read_line_by_line(split, stem, tmp_path):
    write(tmp_path / f"{stem}.en", ENGLISH)
    write(tmp_path / f"{stem}.vi", VIETNAMESE, "\r\n")
    assert read_parallel_text(split, ["en", "vi"], tmp_path) == READ
    assert list(read_parallel_text(split, ["vi", "en"], tmp_path)) == ["vi", "en"]


def test_a_table_is_read_by_its_headers_names(tmp_path):
    rows = zip(["id", "1", "2", "3", "4"], ["vi", *VIETNAMESE], ["en", *ENGLISH], strict=True)
    write(tmp_path / "train.tsv", ["\t".join(row) for row in rows])
    assert read_parallel_text("train", ["en", "vi"], tmp_path) == READ
    with pytest.raises(UserError, match=r"no column 'fr'; its first line names id, vi, en"):
        read_parallel_text("train", ["en", "fr"], tmp_path)
    write(tmp_path / "test.tsv", ["en\tvi", "a\tb", "a"])
    with pytest.raises(UserError, match=r"test.tsv, line 3: 1 columns, not 2"):
        read_parallel_text("test", ["en", "vi"], tmp_path)


def store(folder, features, examples):
    tfds.dataset_builders.store_as_tfds_dataset(
        name="talks",
        version="1.0.0",
        features=features,
        split_datasets={"train": list(enumerate(examples))},
        data_dir=folder,
        disable_shuffling=True,
    )
    return folder / "talks" / "1.0.0"


def test_a_tfds_text_a_language_as_para_crawls_is_read(tmp_path):
    features = tfds.features.Translation(languages=["en", "vi"])
    pairs = zip(ENGLISH, VIETNAMESE, strict=True)
    folder = store(tmp_path, features, [{"en": en, "vi": vi} for en, vi in pairs])
    assert read_parallel_text("train", ["en", "vi"], folder) == READ
    with pytest.raises(UserError, match=r"no text 'fr'; it has en, vi"):
        read_parallel_text("train", ["en", "fr"], folder)
    with pytest.raises(UserError, match="split 'test' of 'talks' cannot be read") as error:
        read_parallel_text("test", ["en", "vi"], folder)
    assert "\n" not in str(error.value)


def test_features_of_a_tfds_set_that_are_no_text_are_refused(tmp_path):
    features = {
        "caption_en": tfds.features.Text(),
        "caption_vi": tfds.features.Text(),
        "image": tfds.features.Image(shape=(2, 2, 1)),
        "language": tfds.features.ClassLabel(names=["en", "vi"]),
        "notes": tfds.features.Sequence(tfds.features.Text()),
        "translation": tfds.features.Text(),
    }
    example = {
        "caption_en": "One stamp",
        "caption_vi": "Một con tem",
        "image": np.zeros([2, 2, 1], np.uint8),
        "language": "en",
        "notes": ["red", "round"],
        "translation": "",
    }
    broken = example | {"caption_vi": "Một".encode("utf-16")}
    folder = store(tmp_path, tfds.features.FeaturesDict(features), [example, broken])
    for wrong in ("image", "language", "notes"):
        with pytest.raises(UserError) as error:
            read_parallel_text("train", ["caption_en", wrong], folder)
        assert str(error.value) == (
            f"data set 'talks' has no text {wrong!r}; it has caption_en, caption_vi, translation"
        )
    found = read_parallel_text("train", ["caption_en"], folder)
    assert found == {"caption_en": ["One stamp"] * 2}
    with pytest.raises(UserError, match="'talks', split 'train': example 1 is not UTF-8"):
        read_parallel_text("train", ["caption_en", "caption_vi"], folder)


def test_a_tfds_set_without_any_text_is_refused(tmp_path):
    folder = store(tmp_path, tfds.features.FeaturesDict({"label": np.int64}), [{"label": 1}])
    with pytest.raises(UserError, match="'talks' has no text 'en'; it has none at all"):
        read_parallel_text("train", ["en", "vi"], folder)


def test_tfds_lists_of_translations_as_ted_multi_translates_are_read(tmp_path):
    languages = tfds.features.TranslationVariableLanguages(languages=["en", "vi", "de"])
    features = tfds.features.FeaturesDict(
        {"translations": languages, "talk_name": tfds.features.Text()}
    )
    examples = [
        {"translations": {"en": "Open the file", "vi": "Mở tập tin", "de": "x"}, "talk_name": "a"},
        {"translations": {"de": "y"}, "talk_name": "a"},
        {"translations": {"en": "Close it"}, "talk_name": "b"},
    ]
    folder = store(tmp_path, features, examples)
    found = read_parallel_text("train", ["en", "vi"], folder)
    assert found == {"en": ["Open the file", "Close it"], "vi": ["Mở tập tin", ""]}
    with pytest.raises(UserError, match="nothing in fr"):
        read_parallel_text("train", ["fr"], folder)


def test_the_stock_ted_multi_translate_is_looked_for_and_its_absence_is_told(tmp_path):
    with pytest.raises(UserError, match="'ted_multi_translate' is not prepared"):
        read_parallel_text("train", ["en", "vi"], None, str(tmp_path))


def test_mistakes_are_told_in_one_line(tmp_path):
    def told(match, split="train", languages=("en", "vi"), folder=tmp_path):
        with pytest.raises(UserError, match=match) as error:
            read_parallel_text(split, languages, folder)
        assert "\n" not in str(error.value)

    told("is no directory", folder=tmp_path / "nothing")
    told("no text for split 'test': no test.en or tst2013.en", "test")
    told("differ", languages=["en", "en"])
    write(tmp_path / "train.en", ["a", "b"])
    told(r"train.vi cannot be read: No such file")
    write(tmp_path / "train.vi", ["a"])
    told(r"train.en has 2 lines and train.vi 1: they are not aligned")
    (tmp_path / "train.vi").write_bytes(b"a\nM\xe1\n")
    told(r"train.vi is not UTF-8: byte 3")
    (tmp_path / "train.en").write_bytes(b"one\rmore\r\ntwo\n")
    (tmp_path / "train.vi").write_bytes(b"ba\nhai\n")
    assert read_parallel_text("train", ["en", "vi"], tmp_path)["en"] == ["one more", "two"]
    write(tmp_path / "test.en", ["", " "])
    write(tmp_path / "test.vi", ["", ""])
    told("no sentence in en, vi", "test")


def test_examples_of_strings_keep_their_order_and_their_gaps():
    split = text_split(READ)
    assert split.num_examples == 3
    found = [example["x"]["vi"].decode() for example in split.dataset.as_numpy_iterator()]
    assert found == READ["vi"]
    assert {n: mask.tolist() for n, mask in split.presence.items()} == {
        "en": [1.0, 1.0, 1.0],
        "vi": [1.0, 0.0, 1.0],
    }
    masks = [example["mask"]["vi"] for example in split.dataset.as_numpy_iterator()]
    assert masks == [1.0, 0.0, 1.0]


def test_examples_of_strings_without_gaps_have_no_mask():
    split = text_split({"en": READ["en"]})
    assert split.presence is None and list(split.dataset.element_spec) == ["x"]
