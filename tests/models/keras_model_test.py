"""What a Keras user expects of a model: subclasses, precision, `training`, `trainable`."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests import tiny
from tf_mvae import (
    CVAE,
    JMVAE,
    MMVAE,
    MVAE,
    TELBO,
    Covariate,
    MMVAEPlus,
    Modality,
    MoPoE,
    MultimodalVAE,
    layers,
    likelihoods,
    objectives,
    posteriors,
    samplers,
)
from tf_mvae.errors import UserError


@keras.saving.register_keras_serializable("tf_mvae_tests")
class Mine(MultimodalVAE):
    """A subclass that keeps the constructor."""


def test_a_subclass_that_keeps_the_constructor_is_saved_with_its_parts(tmp_path):
    kind, objective = posteriors.MixtureOfExperts(), objectives.MixtureElbo()
    model = tiny.make_any(Mine, posterior_kind=kind, objective=objective)
    model.save(tmp_path / "model.keras")
    for again in (
        keras.models.load_model(tmp_path / "model.keras"),
        keras.models.clone_model(model),
    ):
        assert type(again) is Mine
        assert type(again.posterior_kind) is posteriors.MixtureOfExperts
        assert type(again.objective) is objectives.MixtureElbo


def test_data_reach_a_model_of_less_precision_as_they_are(bfloat16_policy):
    model = MVAE([Modality("t", likelihoods.Columns([likelihoods.Categorical(400)]))], 4)
    x = {"t": np.array([[256.0], [257.0]], np.float32)}  # equal with 8 bits
    z = model(x)["z"].numpy()
    np.testing.assert_array_equal(z, model.posterior(x).mean())
    assert np.any(z[0] != z[1])


def test_a_type_that_networks_do_not_compute_in_is_warned_of(caplog):
    tiny.make_model(dtype="float32")
    assert "float32" not in caplog.text
    tiny.make_model(dtype="mixed_bfloat16")
    assert "set_dtype_policy('mixed_bfloat16') before making modalities" in caplog.text


def test_no_warning_where_networks_compute_in_it(bfloat16_policy, caplog):
    tiny.make_model()
    assert "float32" not in caplog.text


def test_layers_act_as_in_training_wherever_that_is_asked_for():
    drop = layers.SeededDropout(0.5)
    encoder = layers.MaskedSequential([keras.layers.Dense(16), drop])
    decoder = layers.MaskedSequential([keras.layers.Dense(16), keras.layers.Dropout(0.5),
                                       keras.layers.Dense(3)])  # fmt: skip
    model = MVAE([Modality("a", likelihoods.Normal([3]), encoder, decoder)], 4)
    x = {"a": np.ones([5, 3], np.float32)}
    still = model(x)
    assert np.any(model.posterior(x, training=True).mean() != still["z"])
    assert np.any(model.experts(x, training=True)["a"].mean() != model.experts(x)["a"].mean())
    (one, other) = (model(x, training=True)["a"].numpy() for _ in range(2))
    assert np.any(one != still["a"]) and np.any(one != other)


def test_a_model_that_is_frozen_and_thawed_leaves_its_sampler_alone():
    model = tiny.make_model()
    model.set_sampler(samplers.MixtureFlow(model.latent_dim, model.num_columns, 2, 8, 8))
    number = len(model.trainable_variables)
    model.trainable = False
    assert not model.trainable_variables and not model.trainable
    model.trainable = True
    assert len(model.trainable_variables) == number and not model.sampler.trainable


def make_words_and_numbers():
    words = likelihoods.TokenSequence(6, 5, layers.RecurrentDecoder(6, 4, 4), 4)
    parts = [Modality("words", words, layers.RecurrentEncoder(6, 4, 4)),
             Modality("numbers", likelihoods.Normal([3])),
             Modality("more", likelihoods.Normal([3]))]  # fmt: skip
    return JMVAE(parts, 2, covariates=[Covariate("age")])


def test_what_is_frozen_is_frozen_after_loading(tmp_path):
    model = make_words_and_numbers()
    words, numbers, more = model.modalities
    words.trainable = False
    for layer in (numbers.encoder, numbers.expert_head, numbers.covariate_layer):
        if layer is not None:
            layer.trainable = False
    more.encoder.trainable = False
    more.encoder.layers[-1].trainable = True  # which Keras' own containers keep, too
    model.compile("adam")
    model.optimizer.build(model.trainable_variables)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert [v.trainable for v in again.variables] == [v.trainable for v in model.variables]
    assert len(again.optimizer.variables) == len(model.optimizer.variables)


def freeze_in_cvae(model):
    model.encoder.trainable = False
    model.encoder.layers[-1].trainable = True
    model.trunk.layers[0].trainable = False


def freeze_in_jmvae(model):
    model.joint_encoder.head.trainable = False
    model.joint_encoder.trunks["label"].trainable = False


def freeze_in_mmvae_plus(model):
    model.private_priors.trainable = False


@pytest.mark.parametrize(
    ("make", "freeze"),
    [
        (CVAE, freeze_in_cvae),
        (JMVAE, freeze_in_jmvae),
        (TELBO, lambda model: setattr(model.joint_encoder, "trainable", False)),
        (MMVAEPlus, freeze_in_mmvae_plus),
    ],
)
def test_what_is_frozen_of_a_models_own_layers_is_frozen_after_loading(make, freeze, tmp_path):
    model = tiny.make_any(make, batch_norm=True)
    weights = len(model.trainable_variables)
    assert "frozen" not in model.get_config()
    freeze(model)
    assert len(model.trainable_variables) < weights
    model.compile("adam")
    model.optimizer.build(model.trainable_variables)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert [v.trainable for v in again.variables] == [v.trainable for v in model.variables]
    assert [v.shape for v in again.trainable_variables] == [
        v.shape for v in model.trainable_variables
    ]
    assert len(again.optimizer.variables) == len(model.optimizer.variables)


def test_what_is_frozen_after_compile_keeps_the_optimizer_state(tmp_path, tiny_batch):
    model = tiny.make_model()
    model.compile("adam", jit_compile=False)
    model.train_on_batch(tiny_batch)
    model.modalities[0].encoder.trainable = False
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    model.make_train_function(force=True)  # the former one trains what it was traced with
    for one in (model, again):
        one.train_on_batch(tiny_batch)
    assert again.optimizer.iterations == 2
    found, expected = ([*m.weights, *m.optimizer.variables] for m in (again, model))
    for value, same in zip(found, expected, strict=True):
        np.testing.assert_array_equal(value, same)


def test_the_former_format_of_keras_is_refused(tmp_path):
    with pytest.raises(UserError, match="a name that ends in .keras"):
        tiny.make_model().save(tmp_path / "model.h5")
    assert not list(tmp_path.iterdir())


def test_a_model_that_is_frozen_is_cloned_as_one():
    model = make_words_and_numbers()
    model.trainable = False
    again = keras.models.clone_model(model)
    assert not again.trainable and not any(v.trainable for v in again.variables)
    again.trainable = True
    assert len(again.trainable_variables) == len(make_words_and_numbers().trainable_variables)


@pytest.mark.parametrize(
    ("name", "wrong"),
    [("posterior_kind", posteriors.Product), ("posterior_kind", "product"),
     ("objective", objectives.SubsetElbos)],
)  # fmt: skip
def test_the_parts_of_a_model_are_objects(name, wrong):
    with pytest.raises(UserError, match=f"{name} must be one such as tf_mvae"):
        tiny.make_any(MultimodalVAE, **{name: wrong})


@pytest.mark.parametrize("private", [{"b": 2, "a": 2}, {"a": 2}])
def test_private_latents_are_in_the_order_of_the_modalities(private):
    latent = posteriors.LatentSpace(1, private)
    parts = [Modality(name, likelihoods.Normal([3])) for name in ("a", "b")]
    kind = posteriors.PrivateMixtureOfExperts(latent)
    bound = objectives.PrivateStratifiedBound(latent)
    with pytest.raises(UserError, match=r"in the model's order: \['a', 'b'\]"):
        MultimodalVAE(parts, latent.size, kind, bound, latent=latent)


@pytest.mark.parametrize("make", [MoPoE, MMVAE, CVAE])
def test_free_bits_that_nothing_charges_are_refused_in_training(make, tiny_batch):
    model = tiny.make_any(make, free_bits=0.5)
    model.elbo(tiny_batch)
    if model.objective.takes_free_bits:
        model.elbo(tiny_batch, training=True)
        return
    with pytest.raises(UserError, match="takes no free_bits"):
        model.elbo(tiny_batch, training=True)


@pytest.mark.parametrize("make", [MMVAE, MMVAEPlus])
def test_a_mixtures_metrics_are_means_over_its_strata(make, tiny_batch, monkeypatch):
    # The first modality's stratum alone is no bound, and there is none where that is missing.
    monkeypatch.setattr(tiny, "LIKELIHOOD_WEIGHTS", dict.fromkeys(tiny.NAMES, 1.0))
    model = tiny.make_any(make, bound="elbo")
    model.compile(jit_compile=False)
    rows = tf.reduce_max([tiny_batch["mask"][m.name] for m in model.modalities], axis=0) > 0
    batch = tf.nest.map_structure(lambda value: tf.constant(value)[rows], tiny_batch)
    found = model.evaluate(batch, batch_size=len(batch["mask"]["label"]), return_dict=True)
    tiny.assert_close(found["elbo"], -found["loss"], 1e-5, 1e-5)
    masks = [batch["mask"][m.name] for m in model.modalities]
    sums = [
        found[f"{m.name}_log_likelihood"] * tf.reduce_mean(mask)
        for m, mask in zip(model.modalities, masks, strict=True)
    ]
    tiny.assert_close(found["elbo"], sum(sums) - found["kl"], 1e-5, 1e-5)


def test_auxiliary_priors_have_one_factor_in_the_gradient():
    """They are in no density of a weight: 'dreg' has for them the gradient of 'iwae'."""
    gradients = {}
    for bound in ("iwae", "dreg"):
        keras.utils.set_random_seed(0)
        latent = posteriors.LatentSpace(1, {"a": 2, "b": 2})
        parts = [Modality(name, likelihoods.Normal([3])) for name in ("a", "b")]
        kind = posteriors.PrivateMixtureOfExperts(latent)
        objective = objectives.PrivateStratifiedBound(latent, bound)
        model = MultimodalVAE(parts, 5, kind, objective, latent=latent, num_samples=6)
        x = np.random.default_rng(0).normal(size=[2, 7, 3]).astype(np.float32)
        with tf.GradientTape() as tape:
            loss = model.elbo({"x": dict(zip("ab", x, strict=True))}, seed=3, training=True).loss
        gradients[bound] = tape.gradient(loss, model.private_priors.log_variance.value)
    assert np.all(np.abs(gradients["iwae"]) > 1e-4)
    tiny.assert_close(gradients["dreg"], gradients["iwae"], 1e-4, 1e-6)


def test_a_shorter_sequence_is_imputed_from():
    decoder = layers.RecurrentDecoder(12, units=8, num_layers=1)
    text = likelihoods.TokenSequence(12, 6, decoder, context_size=8)
    model = MVAE([Modality("s", text), Modality("b", likelihoods.Categorical(4))], 4)
    s = np.random.default_rng(0).integers(3, 12, [4, 3])
    masks = {"b": np.array([0, 0, 0, 1.0])}
    found = model.impute({"x": {"s": s, "b": np.arange(4)}, "mask": masks}, num_samples=3)
    np.testing.assert_array_equal(found["s"].filled, np.pad(s, [(0, 0), (0, 3)]))


def test_quantiles_of_counts_with_a_mass_between_two_of_them():
    likelihood = likelihoods.PointMassMixture(likelihoods.Poisson([1]), at=2.5)
    parameters = tf.constant([[np.log(2.0), 0.0]], tf.float32)  # half of it at 2.5
    probability = tf.constant([0.05, 0.3, 0.33, 0.5, 0.9])[:, tf.newaxis, tf.newaxis]
    found = likelihood.quantile(parameters, probability)
    np.testing.assert_array_equal(found[:, 0, 0], [0, 2, 2, 2.5, 3])
