"""The model as a Keras model: training, generation, saving, and the effect of masks."""

import contextlib
import json

import hypothesis
import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import strategies as st

from tests import tiny
from tf_mvae import MVAE, LinearAnnealing, Modality, MultimodalVAE, UserError, likelihoods

FLOAT_GARBAGE = [np.nan, np.inf, -np.inf, 1e30, -7.0]
CLASS_GARBAGE = [-1, tiny.NUM_CLASSES, 2**31 - 1, -(2**31)]


def weights_copy(model):
    return [np.array(weight) for weight in model.get_weights()]


# What is masked ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def spoilable():
    """A compiled training step and generation of a model with batch norm everywhere."""
    keras.utils.set_random_seed(0)
    model = tiny.make_model(batch_norm=True, num_random_subsets=1)
    start = weights_copy(model)

    @tf.function
    def run(x, mask):
        for weight, value in zip(model.weights, start, strict=True):
            weight.assign(value)
        loss, gradients = tiny.gradients_of(
            lambda: model.elbo({"x": x, "mask": mask}, seed=3, training=True).loss,
            model.trainable_variables,
        )
        statistics = [tf.identity(v.value) for v in model.non_trainable_variables]
        generated = model.generate(x, num_samples=2, mask=mask, seed=4)
        return {"loss": loss, "gradients": gradients, "statistics": statistics, **generated}

    return run


@hypothesis.settings(max_examples=500, deadline=None, derandomize=True)
@hypothesis.given(
    present=st.lists(st.lists(st.booleans(), min_size=3, max_size=3), min_size=6, max_size=6),
    image=st.sampled_from(FLOAT_GARBAGE),
    label=st.sampled_from(CLASS_GARBAGE),
    reading=st.sampled_from(FLOAT_GARBAGE),
    seed=st.integers(0, 2**32 - 1),
)
def test_what_is_masked_changes_nothing(spoilable, present, image, label, reading, seed):
    """Masked values affect neither loss, gradients, batch-norm statistics nor generation."""
    batch = tiny.make_batch(np.array(present, np.float32), seed)
    spoilt = tf.nest.map_structure(np.copy, batch)
    for name, garbage in (("image", image), ("label", label), ("reading", reading)):
        spoilt["x"][name][batch["mask"][name] == 0] = garbage
    clean = spoilable(**tf.nest.map_structure(tf.constant, batch))
    actual = spoilable(**tf.nest.map_structure(tf.constant, spoilt))
    assert all(np.all(np.isfinite(value)) for value in tf.nest.flatten(actual))
    tiny.assert_close(actual, clean, rtol=0, atol=0)


def test_what_is_there_does_change_them(spoilable):
    """The test above can fail: changing observed values has an effect."""
    batch = tiny.make_batch(np.ones([6, 3]))
    clean = spoilable(**tf.nest.map_structure(tf.constant, batch))
    for name in tiny.NAMES:
        other = tf.nest.map_structure(np.copy, batch)
        value = other["x"][name][2]
        other["x"][name][2] = (value + 1) % tiny.NUM_CLASSES if name == "label" else 1 - value
        changed = spoilable(**tf.nest.map_structure(tf.constant, other))
        assert changed["loss"] != clean["loss"]
        moved = zip(changed["statistics"], clean["statistics"], strict=True)
        assert any(np.any(one != other) for one, other in moved)
        assert np.any(changed["image"] != clean["image"])


def test_an_absent_modality_gets_no_gradient():
    model = tiny.make_model()
    present = np.ones([4, 3], np.float32)
    present[:, 1] = 0
    batch = tiny.make_batch(present)
    for modality, there in zip(model.modalities, (True, False, True), strict=True):
        _, gradients = tiny.gradients_of(
            lambda: model.elbo(batch, training=True).loss, modality.trainable_variables
        )
        assert all(np.any(g) == there for g in gradients)


# Inference and generation -----------------------------------------------------------


def test_the_posterior_of_what_is_given_is_that_of_a_mask(tiny_model, tiny_batch):
    x = tiny_batch["x"]
    given = tiny_model.posterior({"label": x["label"]})
    masked = tiny_model.posterior(x, {"image": np.zeros(8), "reading": np.zeros(8)})
    np.testing.assert_allclose(given.mean(), masked.mean(), rtol=1e-6)
    np.testing.assert_allclose(given.stddev(), masked.stddev(), rtol=1e-6)


def test_nothing_given_is_the_prior(tiny_model, tiny_batch):
    posterior = tiny_model.posterior(tiny_batch["x"], {n: np.zeros(8) for n in tiny.NAMES})
    np.testing.assert_array_equal(posterior.mean(), np.zeros([8, tiny.LATENT_DIM]))
    np.testing.assert_array_equal(posterior.stddev(), np.ones([8, tiny.LATENT_DIM]))


def test_experts_and_the_prior_multiply_to_the_posterior(tiny_model, tiny_batch):
    experts = tiny_model.experts(tiny_batch["x"])
    assert set(experts) == set(tiny.NAMES)
    precision = 1 + sum(1 / e.variance().numpy() for e in experts.values())
    mean = sum(e.mean() / e.variance().numpy() for e in experts.values()) / precision
    posterior = tiny_model.posterior(tiny_batch["x"])
    np.testing.assert_allclose(posterior.mean(), mean, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(posterior.variance(), 1 / precision, rtol=1e-4)


def test_shapes_of_what_is_generated(tiny_model, tiny_batch):
    given = {"reading": tiny_batch["x"]["reading"]}
    for return_samples, of_label in ((False, (tiny.NUM_CLASSES,)), (True, ())):
        shapes = {**tiny.EVENT_SHAPES, "label": of_label}
        generated = tiny_model.generate(given, 5, return_samples=return_samples)
        assert {n: tuple(v.shape) for n, v in generated.items()} == {
            n: (5, 8, *shape) for n, shape in shapes.items()
        }
        sampled = tiny_model.sample(5, return_samples=return_samples)
        assert {n: tuple(v.shape) for n, v in sampled.items()} == {
            n: (5, *shape) for n, shape in shapes.items()
        }


@pytest.mark.parametrize("return_samples", [False, True])
def test_seeds_decide_what_is_generated(tiny_model, tiny_batch, return_samples):
    def generate(seed):
        return tiny_model.generate(tiny_batch["x"], 4, seed=seed, return_samples=return_samples)

    def sample(seed):
        return tiny_model.sample(4, seed=seed, return_samples=return_samples)

    for draw in (generate, sample):
        tiny.assert_close(draw(3), draw(3), 0, 0)
        tiny.assert_close(draw(3), draw((3, 0)), 0, 0)
        tiny.assert_close(draw(None), draw(tiny_model.seed), 0, 0)
        one, other = draw(3), draw(4)
        assert all(np.any(one[name] != other[name]) for name in tiny.NAMES)


def test_temperature_0_is_the_posteriors_mean(tiny_model, tiny_batch):
    x, mask = tiny_batch["x"], tiny_batch["mask"]
    generated = tiny_model.generate(x, 3, mask=mask, temperature=0)
    expected = tiny_model.from_latent(tiny_model.posterior(x, mask).mean())
    for name in tiny.NAMES:
        for sample in generated[name]:
            np.testing.assert_allclose(sample, expected[name], rtol=1e-5, atol=1e-6)
    prior_mean = tiny_model.sample(2, temperature=0)
    expected = tiny_model.from_latent(np.zeros([2, tiny.LATENT_DIM]))
    tiny.assert_close(prior_mean, expected)


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_latent_samples_have_the_posteriors_moments(tiny_model, tiny_batch, temperature):
    number = 2000
    posterior = tiny_model.posterior(tiny_batch["x"], tiny_batch["mask"])
    z = tiny_model.latent_samples(
        tiny_batch["x"], number, tiny_batch["mask"], seed=2, temperature=temperature
    )
    noise = (z - posterior.mean()) / posterior.stddev()
    assert noise.shape == [number, 8, tiny.LATENT_DIM]
    deviation = temperature / np.sqrt(number)
    assert np.abs(np.mean(noise, axis=0)).max() < 5 * deviation
    np.testing.assert_allclose(np.std(noise), temperature, rtol=5 / np.sqrt(2 * noise.numpy().size))


def test_decode_is_the_likelihoods_by_name(tiny_model):
    z = np.random.default_rng(0).normal(size=[2, 5, tiny.LATENT_DIM]).astype(np.float32)
    decoded = tiny_model.decode(z)
    for name, shape in tiny.EVENT_SHAPES.items():
        assert decoded[name].batch_shape == [2, 5] and decoded[name].event_shape == shape
    one_by_one = tiny_model.decode(z[1, 3])
    np.testing.assert_allclose(
        decoded["image"].mean()[1, 3], one_by_one["image"].mean(), rtol=1e-5, atol=1e-6
    )


def test_calling_the_model_reconstructs_from_the_mean(tiny_model, tiny_batch):
    outputs = tiny_model(tiny_batch)
    posterior = tiny_model.posterior(tiny_batch["x"], tiny_batch["mask"])
    np.testing.assert_allclose(outputs["z"], posterior.mean(), rtol=1e-6, atol=1e-7)
    tiny.assert_close({n: outputs[n] for n in tiny.NAMES}, tiny_model.from_latent(outputs["z"]))


# Training as a Keras model ----------------------------------------------------------


def compiled(optimizer=None, run_eagerly=True, **kwargs):
    """A compiled model; a few eager steps are faster than tracing a graph."""
    keras.utils.set_random_seed(5)
    model = tiny.make_model(**kwargs)
    model.compile(optimizer or keras.optimizers.Adam(0.02), run_eagerly=run_eagerly)
    return model


def test_fit_of_arrays_in_a_graph_equals_eager_fit_of_a_dataset_and_lowers_the_loss():
    data = tiny.repeat(tiny.make_batch(), 2)
    histories, weights = [], []
    in_order = {"batch_size": 8, "shuffle": False}
    for x, kwargs, eagerly in ((data, in_order, False), (tiny.batches(data, 8), {}, True)):
        model = compiled(num_random_subsets=1, run_eagerly=eagerly)
        histories.append(model.fit(x, epochs=3, verbose=0, **kwargs).history)
        weights.append(weights_copy(model))
    assert histories[0].keys() == histories[1].keys()
    tiny.assert_close(histories[0], histories[1], 1e-4, 1e-4)
    tiny.assert_close(weights[0], weights[1], 1e-3, 1e-4)
    assert histories[0]["loss"][-1] < histories[0]["loss"][0] - 0.3


def test_evaluate_reports_the_terms_that_see_everything():
    model = compiled(cross_weight=0)
    data = tiny.make_batch()
    report = model.evaluate(data, batch_size=8, verbose=0, return_dict=True)
    # Every batch is evaluated with one seed; that seed is the model's own affair.
    tiny.assert_close(report, model.evaluate(tiny.batches(data, 8), verbose=0, return_dict=True))
    tiny.make_posterior_sharp(model)
    report = model.evaluate(data, batch_size=3, verbose=0, return_dict=True)
    elbo = model.elbo(data)
    log_likelihood = {n: elbo.log_likelihood[n][0].numpy() for n in tiny.NAMES}
    there = elbo.valid[0].numpy()
    expected = {
        "loss": elbo.loss,
        "kl": np.average(elbo.kl[0], weights=there),
        "elbo": np.average(sum(log_likelihood.values()) - elbo.kl[0], weights=there),
        **{
            f"{n}_log_likelihood": np.average(log_likelihood[n], weights=data["mask"][n])
            for n in tiny.NAMES
        },
    }
    assert report.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(report[name], value, rtol=1e-4)


def test_predict_equals_a_call():
    model = compiled()
    data = tiny.make_batch()
    expected = model(data)
    tiny.assert_close(model.predict(data, batch_size=3, verbose=0), expected)
    tiny.assert_close(model.predict(tiny.batches(data, 5), verbose=0), expected)


def test_no_mask_is_everything_present():
    data = tiny.make_batch(np.ones([8, 3]))
    reports = [
        compiled().evaluate(x, verbose=0, return_dict=True)
        for x in (data, {"x": data["x"]}, data["x"])
    ]
    assert reports[0] == reports[1] == reports[2]


def test_bool_masks_of_arrays_are_those_of_floats():
    data = tiny.make_batch()
    as_bool = {**data, "mask": {n: m > 0 for n, m in data["mask"].items()}}
    reports = [compiled().evaluate(x, verbose=0, return_dict=True) for x in (data, as_bool)]
    assert reports[0] == reports[1]


def test_callbacks_see_every_metric():
    logs = {}
    callback = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, log: logs.update(log))
    stop = keras.callbacks.EarlyStopping("val_elbo", mode="max", min_delta=1e9, patience=0)
    data = tiny.make_batch()
    model = compiled()
    data = tiny.batches(data, 8)
    history = model.fit(data, validation_data=data, epochs=9, verbose=0, callbacks=[callback, stop])
    names = ["loss", "elbo", "kl", *(f"{n}_log_likelihood" for n in tiny.NAMES)]
    assert set(logs) == {*names, *(f"val_{n}" for n in names)}
    # The first epoch sets the standard and the second does not surpass it by so much.
    assert len(history.epoch) == 2


def test_regularisation_of_a_network_joins_the_loss():
    losses = []
    for weight in (0.0, 0.5):
        keras.utils.set_random_seed(0)
        decoder = keras.layers.Dense(3, kernel_regularizer=keras.regularizers.L2(weight))
        encoder = keras.layers.Identity()
        model = MVAE([Modality("reading", likelihoods.Normal([3]), encoder, decoder)], 2)
        model.compile(run_eagerly=True)
        data = {"reading": np.ones([4, 3], np.float32)}
        losses.append(model.evaluate(data, verbose=0, return_dict=True)["loss"])
    penalty = 0.5 * np.sum(decoder.kernel.numpy() ** 2)
    np.testing.assert_allclose(losses[1] - losses[0], penalty, rtol=1e-3)


def test_steps_draw_afresh_and_runs_repeat():
    """With learning rate 0 only the noise differs between steps."""
    data = tiny.batches(tiny.make_batch(np.ones([8, 3])), 8)
    losses = [
        compiled(keras.optimizers.SGD(0.0), seed=seed)
        .fit(data, epochs=3, verbose=0)
        .history["loss"]
        for seed in (0, 0, 1)
    ]
    assert losses[0] == losses[1]
    assert len({*losses[0], *losses[2]}) == 6


# Saving -----------------------------------------------------------------------------


def test_a_saved_model_gives_the_same_numbers_and_goes_on_alike(tmp_path):
    model = compiled(
        cross_weight={"image": 0.5, "label": 0.0, "reading": 1.0},
        batch_norm=True,
        num_random_subsets=1,
        kl_weight=LinearAnnealing(6),
        seed=11,
    )
    data = tiny.make_batch()
    model.fit(tiny.batches(data, 4), verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert isinstance(loaded, MVAE)
    as_json = [json.dumps(m.get_config(), sort_keys=True) for m in (loaded, model)]
    assert as_json[0] == as_json[1]
    tiny.assert_close(weights_copy(loaded), weights_copy(model), 0, 0)
    tiny.assert_close(loaded.elbo(data), model.elbo(data), 0, 0)
    tiny.assert_close(loaded.generate(data["x"], 2), model.generate(data["x"], 2), 0, 0)
    histories = [m.fit(tiny.batches(data, 4), verbose=0).history for m in (model, loaded)]
    tiny.assert_close(histories[1], histories[0], 1e-6, 1e-6)
    tiny.assert_close(weights_copy(loaded), weights_copy(model), 1e-6, 1e-7)
    assert loaded.optimizer.iterations == model.optimizer.iterations == 4


def test_weights_are_saved_and_loaded_alone(tmp_path):
    model, other = tiny.make_model(), tiny.make_model()
    data = tiny.make_batch()
    assert model.elbo(data).loss != other.elbo(data).loss
    model.save_weights(tmp_path / "model.weights.h5")
    other.load_weights(tmp_path / "model.weights.h5")
    tiny.assert_close(other.elbo(data), model.elbo(data), 0, 0)


# Replicas ---------------------------------------------------------------------------


def test_two_replicas_train_as_one():
    """With sharp posteriors, since each replica draws noise of its own."""
    data = tiny.make_batch()
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    results = []
    for scope in (tf.distribute.get_strategy().scope(), strategy.scope()):
        with scope:
            model = compiled(keras.optimizers.SGD(0.01), run_eagerly=False, num_random_subsets=1)
            tiny.make_posterior_sharp(model)
            start = weights_copy(model)
            dataset = tiny.batches(tiny.repeat(data, 3), 8)
            history = model.fit(dataset, epochs=1, verbose=0).history
        results.append((weights_copy(model), history))
    tiny.assert_close(results[1], results[0], 1e-4, 1e-5)
    assert any(np.any(np.abs(a - b) > 1e-4) for a, b in zip(results[0][0], start, strict=True))


def test_replicas_draw_noise_of_their_own_and_the_same_subsets():
    data = tiny.make_batch(np.ones([4, 3]))
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    with strategy.scope():
        model = tiny.make_model(num_random_subsets=2)
    run = tf.function(lambda: strategy.run(lambda: model.elbo(data, seed=1)))
    first, second = (
        tf.nest.map_structure(lambda v, i=i: strategy.experimental_local_results(v)[i], run())
        for i in range(2)
    )
    np.testing.assert_array_equal(first.subset, second.subset)
    assert not np.any(first.z == second.z)


@pytest.mark.parametrize("model_inside", [False, True])
def test_a_model_from_outside_of_the_scope_of_a_strategy_is_a_mistake(model_inside):
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    inside, outside = strategy.scope, contextlib.nullcontext
    with inside() if model_inside else outside():
        model = tiny.make_model()
    with outside() if model_inside else inside():
        model.compile("adam", jit_compile=False, run_eagerly=False)
    with pytest.raises(UserError, match=r"inside `with strategy\.scope\(\):`") as caught:
        model.fit(tiny.make_batch(), verbose=0)
    assert "\n" not in str(caught.value)


# Mistakes ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MVAE([]), "at least one"),
        (lambda: MVAE(tiny.make_modalities() + tiny.make_modalities()), "names that differ"),
        (lambda: tiny.make_model(latent_dim=0), "latent_dim must be an integer of 1"),
        (lambda: tiny.make_model(num_samples=0), "num_samples must be an integer of 1"),
        (lambda: tiny.make_model(num_random_subsets=4), "4 random subsets of 3"),
        (lambda: tiny.make_model(num_random_subsets=-1), "num_random_subsets must be"),
        (lambda: tiny.make_model(subset_distribution="all"), "subset_distribution.*'all'"),
        (lambda: tiny.make_model().compile(loss="mse"), "takes no loss: .*leave loss out"),
    ],
)
def test_mistakes_in_making_a_model(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_model_of_no_preset_has_the_product_and_the_subset_elbos():
    model, preset = MultimodalVAE(tiny.make_modalities(), 2), MVAE(tiny.make_modalities(), 2)
    model.set_weights(preset.get_weights())
    batch = tiny.make_batch()
    np.testing.assert_array_equal(model.elbo(batch).elbo, preset.elbo(batch).elbo)


@pytest.mark.parametrize("method", ["fit", "evaluate"])
def test_data_are_checked_before_training(method):
    model = compiled()
    data = tiny.make_batch(np.ones([4, 3]))
    data["x"]["label"][1] = tiny.NUM_CLASSES
    with pytest.raises(UserError, match="'label'"):
        getattr(model, method)(data)
    wrong = tiny.batches({"x": {"label": np.zeros([4], np.int32)}}, 2)
    with pytest.raises(UserError, match="'image' is not in the data set"):
        getattr(model, method)(wrong)


def test_names_that_are_no_modalities(tiny_model):
    with pytest.raises(UserError, match="'sound'"):
        tiny_model.generate({"sound": np.zeros([1])})
    with pytest.raises(UserError, match="not in the batch"):
        tiny_model.posterior({})


def test_rows_of_one_class_count_together_in_the_optimizer(tiny_model):
    """A class's embedding takes one Adam step of the learning rate, however often it occurs."""
    batch = tiny.make_batch(np.ones([3, 3], np.float32))  # too few rows to be looked up
    batch["x"]["label"][:] = 1
    table = tiny_model.modalities[1].encoder.layers[0].embeddings
    before = table.numpy()
    tiny_model.compile(keras.optimizers.Adam(0.01, epsilon=0.0))
    tiny_model.train_step(tf.nest.map_structure(tf.constant, batch))
    moved = np.abs(table.numpy() - before)
    np.testing.assert_allclose(moved[1], 0.01, rtol=1e-4)
    gradients, _ = tiny_model.loss_gradients(tf.nest.map_structure(tf.constant, batch))
    assert all(isinstance(gradient, tf.Tensor) for gradient in gradients)
