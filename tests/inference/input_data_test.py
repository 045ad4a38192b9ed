"""Data are checked in the same way for all forms of data and all methods."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests import tiny
from tf_mvae import CVAE, UserError
from tf_mvae.evaluation import ImportanceSampler
from tf_mvae.models import base

EVERYTHING = np.ones([6, 3])


@pytest.fixture(scope="module")
def model():
    model = tiny.make_model()
    model.compile("sgd")
    return model


@pytest.fixture(scope="module")
def cvae():
    return tiny.make_any(CVAE)


def changed(name, value, part="x"):
    batch = tiny.make_batch(EVERYTHING)
    batch[part][name] = batch[part][name].astype(np.asarray(value).dtype)
    batch[part][name][2] = value
    return batch


# What is wrong with a batch, and what the message says.
WRONG = {
    "class_12_of_5": (changed("label", 12), "'label' must hold integers in 0..4"),
    "class_below_0": (changed("label", -1), "'label' must hold integers in 0..4"),
    "pixel_of_255": (changed("image", 255.0), r"'image' must hold numbers in \[0, 1\]"),
    "pixel_nan": (changed("image", np.nan), r"'image' must hold numbers in \[0, 1\]"),
    "mask_of_a_half": (changed("label", 0.5, "mask"), r"mask\['label'\] must hold 0 and 1"),
    "mask_of_2": (changed("reading", 2.0, "mask"), r"mask\['reading'\] must hold 0 and 1"),
    "reading_infinite": (changed("reading", np.inf), "'reading' must hold finite numbers"),
}

SINGLE_CALLS = {
    "posterior": lambda model, b: model.posterior(b["x"], b["mask"]),
    "experts": lambda model, b: model.experts(b["x"], b["mask"]),
    "generate": lambda model, b: model.generate(b["x"], mask=b["mask"]),
    "latent_samples": lambda model, b: model.latent_samples(b["x"], mask=b["mask"]),
    "elbo": lambda model, b: model.elbo(b),
    "elbo_in_a_function": lambda model, b: tf.function(
        lambda: model.elbo(b).loss, autograph=False
    )(),
    "call": lambda model, b: model(b),
    "train_on_batch": lambda model, b: model.train_on_batch(b),
    "test_on_batch": lambda model, b: model.test_on_batch(b),
    "predict_on_batch": lambda model, b: model.predict_on_batch(b),
    "sampler": lambda model, b: ImportanceSampler(model, 2)(b),
    "sampler_conditional": lambda model, b: ImportanceSampler(model, 2).conditional(
        b, ["label"], ["image"]
    ),
}


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("call", SINGLE_CALLS)
def test_a_wrong_value_is_refused_by_every_method(model, call, wrong):
    batch, message = WRONG[wrong]
    with pytest.raises(UserError, match=message):
        SINGLE_CALLS[call](model, batch)


@pytest.mark.parametrize("rows", [1, 3, 40])
def test_a_class_out_of_range_is_refused_at_any_batch_size(model, rows):
    with pytest.raises(UserError, match="'label' must hold integers in 0..4.*; it holds 12"):
        model.posterior({"label": np.full([rows], 12)})


def test_what_is_masked_may_be_anything_in_every_method(model):
    batch = tiny.make_batch(np.array([[1, 1, 1], [1, 0, 1], [0, 1, 1]]))
    spoilt = tf.nest.map_structure(np.copy, batch)
    spoilt["x"]["label"][1], spoilt["x"]["image"][2] = 12, np.nan
    for name in ("posterior", "elbo", "call", "latent_samples"):
        clean, masked = (SINGLE_CALLS[name](model, b) for b in (batch, spoilt))
        if name == "posterior":
            clean, masked = clean.mean(), masked.mean()
        tiny.assert_close(masked, clean, 0, 0)


@pytest.mark.parametrize("method", ["decode", "from_latent"])
def test_what_a_decoder_is_given_is_checked(cvae, method):
    z = np.zeros([2, tiny.LATENT_DIM])
    given = {"label": np.array([12, 0]), "reading": np.zeros([2, 3], np.float32)}
    with pytest.raises(UserError, match="'label' must hold integers"):
        getattr(cvae, method)(z, given=given)
    given["label"] = given["label"] % 5
    for wrong, message in (
        (np.zeros([2, 4]), r"shape \[..., 3\]"),
        (np.full([2, 3], np.nan), "finite"),
        (np.zeros([3, 3]), "of 2 examples"),
        (["a"], "array of numbers"),
    ):
        with pytest.raises(UserError, match=message):
            getattr(cvae, method)(wrong, given=given)
    assert getattr(cvae, method)(z, given=given)


def test_a_condition_has_to_be_there_for_every_example(cvae):
    batch = tiny.make_batch(EVERYTHING)
    given = {name: batch["x"][name] for name in ("label", "reading")}
    mask = {"label": np.array([1, 1, 0, 1, 1, 1])}
    with pytest.raises(UserError, match=r"needs 'label' of every example; mask\['label'\]"):
        cvae.generate(given, mask=mask)
    spoilt = {**batch["x"], "label": np.where(mask["label"], batch["x"]["label"], 99)}
    found = cvae({"x": spoilt, "mask": mask})  # the prior, as without it
    assert np.isfinite(found["image"]).all()


# Data that come batch by batch ------------------------------------------------------------


class Batches(keras.utils.PyDataset):
    def __init__(self, *batches):
        super().__init__()
        self.batches = batches

    def __len__(self):
        return len(self.batches)

    def __getitem__(self, index):
        return self.batches[index]


def generator(*batches):
    yield from batches


def dataset(*batches):
    return tf.data.Dataset.from_tensor_slices(
        tf.nest.map_structure(lambda *parts: np.stack(parts), *batches)
    )


FORMS = {
    "arrays": lambda *batches: tf.nest.map_structure(lambda *b: np.concatenate(b), *batches),
    "dataset": dataset,
    "generator": generator,
    "py_dataset": Batches,
    "tuples": lambda *batches: generator(*((batch,) for batch in batches)),
    "iterator": lambda *batches: iter(batches),
}


# A tuple and an iterator come to the model as a generator's batches do.
@pytest.mark.parametrize(
    "form",
    [pytest.param(f, marks=pytest.mark.long if f in ("tuples", "iterator") else ()) for f in FORMS],
)
def test_a_wrong_value_is_refused_in_every_form(model, form):
    good, (wrong, message) = tiny.make_batch(EVERYTHING), WRONG["class_12_of_5"]
    for method in ("fit", "evaluate", "predict"):
        with pytest.raises(UserError, match=message) as caught:
            getattr(model, method)(FORMS[form](good, wrong), verbose=0)
        assert "\n" not in str(caught.value)
        getattr(model, method)(FORMS[form](good, good), verbose=0)


def test_validation_data_are_checked_too(model):
    good, (wrong, message) = tiny.make_batch(EVERYTHING), WRONG["pixel_nan"]
    for form in ("arrays", "dataset", "generator"):
        with pytest.raises(UserError, match=message):
            model.fit(good, validation_data=FORMS[form](wrong), verbose=0)


def test_validation_split_and_steps_per_epoch_work(model):
    batch = tiny.make_batch(np.ones([8, 3]))
    history = model.fit(batch, validation_split=0.25, batch_size=3, verbose=0).history
    assert "val_loss" in history
    endless = (batch for _ in iter(int, 1))
    before = int(model.optimizer.iterations)
    model.fit(endless, steps_per_epoch=2, epochs=2, verbose=0)
    assert int(model.optimizer.iterations) == before + 4


@pytest.mark.parametrize(
    ("wrong", "message"),
    [({"batch_size": 0}, "batch_size must be an integer of 1"),
     ({"batch_size": -1}, "batch_size must be an integer of 1"),
     ({"validation_split": 1.5}, "validation_split must be a number below 1, 0 or more")],
)  # fmt: skip
def test_numbers_without_a_meaning_are_refused(model, wrong, message):
    with pytest.raises(UserError, match=message):
        model.fit(tiny.make_batch(), **wrong)
    if "batch_size" in wrong:
        with pytest.raises(UserError, match=message):
            model.evaluate(tiny.make_batch(), **wrong)


def test_a_part_of_the_modalities_is_enough_to_predict(model):
    batch = tiny.make_batch(EVERYTHING)
    part = {"x": {"label": batch["x"]["label"]}}
    expected = model(part)
    for form in ("arrays", "dataset", "generator", "py_dataset"):
        tiny.assert_close(model.predict(FORMS[form](part), verbose=0), _numpy(expected))
    tiny.assert_close(model.predict_on_batch(part), _numpy(expected))


def _numpy(structure):
    return tf.nest.map_structure(np.asarray, structure)


def test_one_batch_is_a_step_and_an_evaluation():
    """Against `fit` and `evaluate` of the same batch as a whole."""
    batch = tiny.make_batch(EVERYTHING)
    one, other = tiny.make_model(), tiny.make_model()
    other.set_weights(one.get_weights())
    for model in (one, other):
        model.compile("sgd")
    step = one.train_on_batch(batch, return_dict=True)
    fitted = other.fit(batch, batch_size=6, shuffle=False, verbose=0).history
    np.testing.assert_allclose(step["loss"], fitted["loss"][0], rtol=1e-6)
    tiny.assert_close(one.get_weights(), other.get_weights())
    tested = one.test_on_batch(batch, return_dict=True)
    evaluated = other.evaluate(batch, batch_size=6, verbose=0, return_dict=True)
    np.testing.assert_allclose(tested["elbo"], evaluated["elbo"], rtol=1e-5)


# What has no meaning ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m, b: m.fit(b, y=np.zeros(6)), "no targets"),
        (lambda m, b: m.fit(b, class_weight={0: 1.0}), "class_weight.*sample_weight"),
        (lambda m, b: m.train_on_batch(b, class_weight={0: 1.0}), "class_weight.*sample_weight"),
        (lambda m, b: m.fit(b, validation_data=(b, np.zeros(6))), "no.*targets|targets"),
        (lambda m, b: m.evaluate(b, y=np.zeros(6)), "no targets"),
        (lambda m, b: m.fit(dataset(b), sample_weight=np.ones(6)), "'weight'"),
        (lambda m, b: m.fit(np.zeros([6, 4, 4, 1])), '{"x"'),
        (lambda m, b: m.predict(np.zeros([6, 4, 4, 1])), '{"x"'),
        (lambda m, b: m.fit(), "no data"),
        (lambda m, b: m.evaluate(), "no data"),
        (lambda m, b: m.posterior(np.zeros([6, 4, 4, 1])), "given as {name: array}; .*ndarray"),
        (lambda m, b: m.compile(metrics=["mae"]), "compile takes no metrics"),
        (lambda m, b: m.compile(loss_weights=[1.0]), "compile takes no loss_weights"),
        (lambda m, b: m.compile(weighted_metrics=["mae"]), "compile takes no weighted_metrics"),
    ],
)
def test_what_has_no_meaning_is_refused(model, call, message):
    with pytest.raises(UserError, match=message) as caught:
        call(model, tiny.make_batch(EVERYTHING))
    assert "\n" not in str(caught.value)


def test_a_compile_config_of_earlier_versions_loads(model):
    config = {**model.get_compile_config(), "metrics": ["mae"], "loss_weights": None}
    loaded = tiny.make_model()
    loaded.compile_from_config(config)
    assert loaded.optimizer is not None


# numpy masked arrays ----------------------------------------------------------------------


def test_masked_arrays_are_missing_examples(model):
    batch = tiny.make_batch(EVERYTHING)
    absent = np.array([0, 1, 0, 0, 1, 0], bool)
    batch["mask"]["label"] = (~absent).astype(np.float32)
    hidden = {
        **batch["x"],
        "label": np.ma.array(np.where(absent, 99, batch["x"]["label"]), mask=absent),
        "image": np.ma.array(batch["x"]["image"]),  # nothing of it is masked
    }
    given = {"x": hidden}
    tiny.assert_close(model.elbo(given), model.elbo(batch), 0, 0)
    tiny.assert_close(
        model.posterior(hidden).mean(), model.posterior(batch["x"], batch["mask"]).mean(), 0, 0
    )
    tiny.assert_close(model(given), model(batch), 0, 0)
    tiny.assert_close(
        model.evaluate(given, verbose=0), model.evaluate(batch, verbose=0), 1e-6, 1e-6
    )
    mask = {"label": np.array([1, 1, 1, 1, 1, 0.0])}  # both count
    both = {"label": batch["mask"]["label"] * mask["label"]}
    tiny.assert_close(
        model.posterior(hidden, mask).mean(), model.posterior(batch["x"], both).mean(), 0, 0
    )


def test_an_example_that_is_masked_in_part_is_refused(model):
    batch = tiny.make_batch(EVERYTHING)
    partly = np.zeros([6, 3], bool)
    partly[4, 1] = True
    batch["x"]["reading"] = np.ma.array(batch["x"]["reading"], mask=partly)
    for name in ("elbo", "call", "train_on_batch", "posterior"):
        with pytest.raises(UserError, match="example 4 .*'reading'.*ModalityGroup"):
            SINGLE_CALLS[name](model, batch)


def test_masks_and_weights_cannot_be_masked(model):
    batch = tiny.make_batch(EVERYTHING)
    hidden = np.ma.array(np.ones(6), mask=[1, 0, 0, 0, 0, 0])
    with pytest.raises(UserError, match=r"mask\['label'\] is a numpy masked array"):
        model.elbo({"x": batch["x"], "mask": {"label": hidden}})
    with pytest.raises(UserError, match="weight is a numpy masked array"):
        model.elbo({**batch, "weight": hidden})


# Cost -------------------------------------------------------------------------------------


def test_nothing_is_checked_within_a_training_step(model):
    """The graph of a training step has no assertion."""
    batch = tf.nest.map_structure(tf.constant, tiny.make_batch(EVERYTHING))
    step = tf.function(lambda data: base.BaseVAE.train_step(model, data), autograph=False)
    graph = step.get_concrete_function(batch).graph.as_graph_def()
    nodes = [*graph.node, *(node for f in graph.library.function for node in f.node_def)]
    assert not {node.op for node in nodes} & {"Assert"}
