"""What people write who know Keras: it works, or one line says why not."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tf_mvae
from tests import processes, tiny
from tf_mvae import MVAE, Modality, UserError, likelihoods
from tf_mvae.data import from_frame
from tf_mvae.optimization import layers_compute_in

pytestmark = pytest.mark.usefixtures("untraced")


def batch():
    return tiny.make_batch([[1, 1, 1]] * 8)


def compiled(**kwargs):
    model = tiny.make_model(**kwargs)
    model.compile(keras.optimizers.Adam(0.05))
    return model


def test_arguments_have_the_order_that_they_have_in_keras():
    model, data = compiled(), batch()
    found = model.fit(data, None, 4, 2, 0, validation_data=data).history
    assert len(found["val_loss"]) == 2 and model.optimizer.iterations.numpy() == 4
    assert len(model.evaluate(data, None, 4, 0)) == len(model.metrics)
    for call in (model.fit, model.evaluate):
        with pytest.raises(UserError, match="has no targets, which Keras' second argument is"):
            call(data, data)


def test_a_table_is_fitted_as_it_is(traced):
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"a": np.linspace(-1, 1, 12), "b": ["x", "y", "z"] * 4})
    table = from_frame(frame.mask(frame == "z"), verbose=False)
    model = MVAE(table.modalities(), latent_dim=2)
    model.compile("sgd", jit_compile=False)
    found = model.fit(table, validation_data=table, verbose=0).history
    assert np.isfinite([found["loss"], found["val_loss"]]).all()


def test_a_tape_records_the_loss_of_an_elbo():
    model = compiled()
    with tf.GradientTape() as tape:
        elbo = model.elbo(batch(), training=True)
    weighted = {**batch(), "weight": np.arange(8.0)}
    for found in (elbo, model.elbo(weighted)):
        terms = tf.reduce_sum(found.valid * found.elbo, axis=0)
        tiny.assert_close(found.loss, -tf.reduce_mean(terms), 1e-6, 1e-6)
    gradients = tape.gradient(elbo.loss, model.trainable_variables)
    assert all(gradient is not None for gradient in gradients)


def test_a_weight_of_the_divergence_that_would_have_no_effect_is_refused():
    for variable in (keras.Variable(0.0), tf.Variable(0.0)):
        with pytest.raises(UserError, match="kl_weight is a variable; .*LinearAnnealing"):
            tiny.make_model(kl_weight=variable)
        with pytest.raises(UserError, match="likelihood_weight must be a finite number"):
            Modality("y", likelihoods.Categorical(3), likelihood_weight=variable)
    with pytest.raises(UserError, match="set when the model is made; .*LinearAnnealing"):
        tiny.make_model().kl_weight = 2.0


def test_a_decoder_may_add_losses_of_what_it_computes():
    """Only some rows are decoded otherwise, within a branch of the graph."""

    def make(strength):
        keras.utils.set_random_seed(0)
        regularizer = keras.regularizers.L2(strength) if strength else None
        decoder = keras.Sequential(
            [keras.layers.Dense(8, activity_regularizer=regularizer), keras.layers.Dense(5)]
        )
        bits, reals = likelihoods.Bernoulli([5]), likelihoods.Normal([4])
        parts = [
            Modality("bits", bits, decoder=decoder, cross_weight=0),
            *(Modality(name, reals, cross_weight=0) for name in ("one", "two")),
        ]
        model = MVAE(parts, latent_dim=2, num_random_subsets=2)
        model.compile("sgd", jit_compile=False)
        rng = np.random.default_rng(0)
        data = {"bits": rng.uniform(size=[6, 5]) < 0.5, "one": rng.normal(size=[6, 4])}
        return model.fit({**data, "two": data["one"]}, batch_size=6, verbose=0).history["loss"][0]

    assert make(10.0) > make(0.0) + 1e-3


def _exchange_activation(dense):
    dense.activation = keras.activations.tanh


@pytest.mark.parametrize("change", [lambda dense: dense.enable_lora(2), _exchange_activation])
def test_eager_calls_follow_layers_that_change(traced, change):
    model, data = compiled(), batch()
    before = model.posterior(data["x"]).mean()
    encoder = model.get_layer("reading").encoder
    dense = [layer for layer in encoder._flatten_layers() if isinstance(layer, keras.layers.Dense)]
    change(dense[0])
    model.compile(keras.optimizers.Adam(0.1), jit_compile=False)
    model.fit(data, epochs=2, verbose=0)
    found = model.posterior(data["x"]).mean()
    fresh = tf.function(lambda: model.posterior(data["x"]).mean())()
    tiny.assert_close(found, fresh, 1e-5, 1e-5)
    assert np.abs(found - before).max() > 0.01


def test_large_counts_are_read_in_float16():
    with layers_compute_in("mixed_float16"):
        counts = Modality("counts", likelihoods.NegativeBinomial([6]))
        model = MVAE([counts, Modality("kind", likelihoods.Categorical(3))], latent_dim=2)
    data = {"counts": np.full([4, 6], 1e6), "kind": np.array([0, 1, 2, 0])}
    assert np.isfinite(model.posterior(data).mean()).all()
    assert np.isfinite(model.elbo(data).loss)


@pytest.mark.parametrize("name", ["a.weights.h5", "a.keras"])
def test_weights_of_a_sampler_need_one(name, tmp_path, caplog):
    saved, loaded = compiled(), tiny.make_model()
    saved.set_sampler(tf_mvae.samplers.MixtureFlow(saved.latent_dim, saved.num_columns))
    (saved.save if name.endswith(".keras") else saved.save_weights)(tmp_path / name)
    loaded.load_weights(tmp_path / name)
    assert f"{len(saved.sampler.weights)} weights more than" in caplog.text
    caplog.clear()
    loaded.set_sampler(tf_mvae.samplers.MixtureFlow(saved.latent_dim, saved.num_columns))
    loaded.load_weights(tmp_path / name)
    assert "weights more than" not in caplog.text
    tiny.assert_close(loaded.get_weights(), saved.get_weights(), 0, 0)


# Strategies of one process share the numbers of their collective operations: it has one of its own.
_REPLICAS = """
import numpy as np, tensorflow as tf
from tf_mvae import MVAE, Modality, likelihoods

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
with tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope():
    model = MVAE([Modality("bits", likelihoods.Bernoulli([5]))], latent_dim=2)
    model.compile("sgd", jit_compile=False)
bits = np.random.default_rng(0).uniform(size=[9, 5]) < 0.5
data = {"x": {"bits": bits}, "mask": {"bits": np.arange(9) % 2 == 0}}
dataset = tf.data.Dataset.from_tensor_slices(data).batch(9)
for one in (data, dataset):
    loss = model.fit(one, batch_size=None if one is dataset else 9, verbose=0).history["loss"][0]
    assert np.isfinite([loss, *model.evaluate(one, verbose=0)]).all()
"""


def test_truth_values_and_uneven_shares_are_for_replicas_too():
    done = processes.run("-c", _REPLICAS)
    assert done.returncode == 0, done.stderr
