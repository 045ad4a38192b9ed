"""A group, compared with the same model of single modalities, and other laws of groups."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests import tiny
from tf_mvae import (
    CVAE,
    JMVAE,
    MVAE,
    MVAEQ,
    TELBO,
    VAE,
    BiVCCA,
    Modality,
    ModalityGroup,
    UserError,
    likelihoods,
)
from tf_mvae.batch import check_arrays, check_dataset
from tf_mvae.data.conditions import parse_conditions
from tf_mvae.evaluation import ImportanceSampler
from tf_mvae.layers import (
    GroupedDense,
    MaskedBatchNormalization,
    MaskedSequential,
    grouped_mlp_decoder,
    grouped_mlp_encoder,
    mlp_decoder,
    mlp_encoder,
)

pytestmark = pytest.mark.usefixtures("untraced")

MEMBERS = ("s0", "s1", "s2", "s3")
WEIGHTS = {"s0": 2.0, "s2": 0.5}
KINDS = {
    "Bernoulli": (likelihoods.Bernoulli([]), 2),
    "Normal": (likelihoods.Normal([2], scale=None), None),
    "Categorical": (likelihoods.Categorical(3), 3),
}


def image(cross_weight):
    likelihood = likelihoods.Bernoulli([3])
    return Modality("image", likelihood, mlp_encoder([5]), mlp_decoder([3], [5]), 1.0, cross_weight)


def note(cross_weight):
    likelihood = likelihoods.Normal([2])
    return Modality("note", likelihood, mlp_encoder([4]), mlp_decoder([2], [4]), 0.7, cross_weight)


def group_of(kind, cross_weight=0.0):
    likelihood, classes = KINDS[kind]
    decoder = grouped_mlp_decoder(likelihood.parameter_shape, [6])
    encoder = grouped_mlp_encoder([6, 4], classes)
    return ModalityGroup("s", MEMBERS, likelihood, encoder, decoder, WEIGHTS, cross_weight)


def grouped(kind="Normal", cross_weight=0.0, make=MVAE, **kwargs):
    parts = [image(cross_weight), group_of(kind, cross_weight), note(cross_weight)]
    kwargs = {"num_random_subsets": 3, "term_weight": {"s1": 0.5, "everything": 2.0}, **kwargs}
    return make(parts, latent_dim=3, **kwargs)


def separate(model, kind):
    """Returns the same model of single modalities, with the same weights."""
    first, group, last = model.modalities
    likelihood, classes = KINDS[kind]
    singles = [
        Modality(
            name,
            likelihood,
            mlp_encoder([6, 4], classes),
            mlp_decoder(likelihood.parameter_shape, [6]),
            group.likelihood_weight[index],
            group.cross_weight[index],
        )
        for index, name in enumerate(MEMBERS)
    ]
    again = [image(first.cross_weight), *singles, note(last.cross_weight)]
    found = type(model)(
        again,
        latent_dim=3,
        num_random_subsets=model.num_random_subsets,
        term_weight=model.term_weight,
    )
    again[0].set_weights(first.get_weights())
    again[-1].set_weights(last.get_weights())
    for index, single in enumerate(singles):
        give_weights(group, single, index)
    return found


def give_weights(group, single, index):
    pairs = zip(group.get_weights(), single.get_weights(), strict=True)
    single.set_weights([mine[index].reshape(own.shape) for mine, own in pairs])


def data(kind, rows=9, seed=0):
    rng = np.random.default_rng(seed)
    shape = [rows, len(MEMBERS)]
    values = {
        "Bernoulli": rng.integers(0, 2, shape).astype(np.float32),
        "Normal": rng.normal(size=[*shape, 2]).astype(np.float32),
        "Categorical": rng.integers(0, 3, shape).astype(np.int32),
    }
    x = {
        "image": rng.uniform(size=[rows, 3]).astype(np.float32),
        "s": values[kind],
        "note": rng.normal(size=[rows, 2]).astype(np.float32),
    }
    mask = {name: rng.integers(0, 2, rows).astype(np.float32) for name in ("image", "note")}
    mask["s"] = rng.integers(0, 2, shape).astype(np.float32)
    for part in mask.values():
        part[-2:] = [part[-2] * 0, part[-2] * 0 + 1]  # an example of nothing, one of everything
    return {"x": x, "mask": mask}


def taken_apart(batch):
    return {
        part: {
            **{n: v for n, v in values.items() if n != "s"},
            **{name: values["s"][:, i] for i, name in enumerate(MEMBERS)},
        }
        for part, values in batch.items()
    }


def elbo_and_gradients(model, batch):
    with tf.GradientTape() as tape:
        elbo = model.elbo(batch, kl_weight=0.5, num_samples=2, seed=4, training=True)
    return elbo, dict(
        zip(
            [v.path for v in model.trainable_variables],
            tape.gradient(elbo.loss, [v.value for v in model.trainable_variables]),
            strict=True,
        )
    )


@pytest.mark.parametrize("kind", KINDS)
def test_a_group_equals_single_modalities_in_elbo_and_gradients(kind):
    model, batch = grouped(kind), data(kind)
    other = separate(model, kind)
    mine, _ = elbo_and_gradients(model, batch)
    theirs, _ = elbo_and_gradients(other, taken_apart(batch))
    for name in ("valid", "loc", "log_variance", "z", "kl", "elbo"):
        tiny.assert_close(getattr(mine, name), getattr(theirs, name))
    tiny.assert_close(
        mine.members["s"],
        tf.stack([theirs.log_likelihood[name][0] for name in MEMBERS], 1),
    )
    moved = [m.get_weights() for m in (model, other)]
    for one, given in ((model, batch), (other, taken_apart(batch))):
        one.compile(keras.optimizers.SGD(1e-2))
        one.fit(given, epochs=1, batch_size=9, shuffle=False, verbose=0)
    assert not np.allclose(moved[0][0], model.get_weights()[0])
    checked = 0
    for index, single in enumerate(other.modalities[1:-1]):
        for one, own in zip(model.modalities[1].get_weights(), single.get_weights(), strict=True):
            tiny.assert_close(one[index].reshape(own.shape), own)
            checked += 1
    assert checked == 4 * len(model.modalities[1].get_weights())


def test_cross_weights_hold_in_all_terms_but_those_of_members_alone():
    """The documented objective, term by term, from the model of single modalities."""
    model, batch = grouped("Normal", 0.3), data("Normal")
    other = separate(model, "Normal")
    mine = model.elbo(batch, seed=4, num_samples=2)
    theirs = other.elbo(taken_apart(batch), seed=4, num_samples=2)
    count = len(MEMBERS) + 2
    alone = slice(2, 2 + len(MEMBERS))  # of the members: everything and the image come before
    rest = np.setdiff1d(np.arange(mine.elbo.shape[0]), np.arange(alone.start, alone.stop))
    tiny.assert_close(mine.elbo.numpy()[rest], theirs.elbo.numpy()[rest])
    present = np.concatenate(
        [batch["mask"]["image"][:, None], batch["mask"]["s"], batch["mask"]["note"][:, None]], 1
    )
    assert present.shape[1] == count
    for index, name in enumerate(MEMBERS):
        term = alone.start + index
        weight = model.modalities[1].likelihood_weight[index] * present[:, 1 + index]
        own = weight * theirs.log_likelihood[name][term] - theirs.kl[term]
        there = present[:, 1 + index] > 0
        tiny.assert_close(mine.elbo[term][there], own[there])


@pytest.mark.parametrize("make", [MVAE, MVAEQ])
def test_posterior_experts_generation_and_likelihood_equal_those_of_single_modalities(make):
    model, batch = grouped("Normal", make=make), data("Normal")
    other, apart = separate(model, "Normal"), taken_apart(batch)
    one, two = (m.posterior(b["x"], b["mask"]) for m, b in ((model, batch), (other, apart)))
    tiny.assert_close((one.mean(), one.stddev()), (two.mean(), two.stddev()))
    experts, singles = model.experts(**batch), other.experts(**apart)
    for index, name in enumerate(MEMBERS):
        tiny.assert_close(experts["s"].mean()[:, index], singles[name].mean())
    given = {"s2": batch["x"]["s"][:, 2], "image": batch["x"]["image"]}
    mine, theirs = (m.generate(given, 3, seed=5) for m in (model, other))
    tiny.assert_close(mine["note"], theirs["note"])
    tiny.assert_close(mine["s"][:, :, 3], theirs["s3"])
    samplers = [ImportanceSampler(m, 20, jit_compile=False) for m in (model, other)]
    estimates = [samplers[0](batch, ["s1", "note"]), samplers[1](apart, ["s1", "note"])]
    tiny.assert_close(estimates[0].log_likelihood, estimates[1].log_likelihood, 1e-4, 1e-4)
    estimates = [samplers[0](batch, ["s"]), samplers[1](apart, MEMBERS)]
    tiny.assert_close(estimates[0].log_likelihood, estimates[1].log_likelihood, 1e-4, 1e-4)


def test_what_stands_in_masked_entries_changes_nothing():
    model, batch = grouped("Normal", 0.3), data("Normal")
    loss, gradients = elbo_and_gradients(model, batch)
    dirty = {"x": dict(batch["x"]), "mask": batch["mask"]}
    values = batch["x"]["s"].copy()
    values[batch["mask"]["s"] == 0] = np.nan
    dirty["x"]["s"] = values
    again, others = elbo_and_gradients(model, dirty)
    tiny.assert_close(again.loss, loss.loss, 0, 0)
    tiny.assert_close(others, gradients, 0, 0)
    posteriors = [model.posterior(b["x"], b["mask"]).mean() for b in (batch, dirty)]
    tiny.assert_close(*posteriors, 0, 0)


def test_metrics_name_every_member_and_average_over_those_that_have_it(traced):
    model, batch = grouped("Bernoulli"), data("Bernoulli")
    model.compile("adam", jit_compile=True)
    found = model.evaluate(batch, batch_size=9, return_dict=True, verbose=0)
    elbo = model.elbo(batch, seed=[0, 1])
    there = batch["mask"]["s"]
    first = elbo.members["s"].numpy()
    for index, name in enumerate(MEMBERS):
        expected = (first * there)[:, index].sum() / there[:, index].sum()
        np.testing.assert_allclose(found[f"{name}_log_likelihood"], expected, rtol=1e-5)
    has = there.max(1)
    np.testing.assert_allclose(
        found["s_log_likelihood"], (first.sum(1) * has).sum() / has.sum(), rtol=1e-5
    )


def test_a_mask_of_the_batch_is_that_of_every_member_and_faults_are_told():
    model, batch = grouped("Normal"), data("Normal")
    whole = {"x": batch["x"], "mask": {"s": np.array([1.0] * 8 + [0.0], np.float32)}}
    each = {"x": batch["x"], "mask": {"s": np.repeat(whole["mask"]["s"][:, None], 4, 1)}}
    tiny.assert_close(model.elbo(whole, seed=1).elbo, model.elbo(each, seed=1).elbo, 0, 0)
    assert check_arrays(whole, model.modalities)["mask"]["s"].shape == (9, 4)
    list(check_dataset(tiny.batches(whole, 3), model.modalities))
    with pytest.raises(UserError, match=r"mask\['s'\] must have shape \[batch, 4\]"):
        model.elbo({"x": batch["x"], "mask": {"s": np.ones([9, 3], np.float32)}})
    with pytest.raises(UserError, match="group 's' and its member 's1'"):
        model.posterior({"s": batch["x"]["s"], "s1": batch["x"]["s"][:, 1]})
    broken = {**batch["x"], "s": np.full([9, 4, 2], np.inf, np.float32)}
    with pytest.raises(UserError, match="'s' must hold finite numbers"):
        check_arrays({"x": broken, "mask": batch["mask"]}, model.modalities)


def test_every_mask_of_a_member_counts():
    model = grouped("Normal")
    rng = np.random.default_rng(0)
    value = rng.normal(size=[9, 2]).astype(np.float32)
    has = np.arange(9) % 3 > 0
    hidden = np.repeat(~has[:, np.newaxis], 2, axis=1)
    expected = model.posterior({"s1": value}, {"s1": has}).stddev()
    assert np.ptp(expected.numpy(), axis=0).max() > 0
    for given in (
        ({"s1": np.ma.array(value, mask=hidden)},),
        ({"s1": value}, {"s": has}),
        ({"s1": value}, {"s": np.repeat(has[:, np.newaxis], 4, axis=1)}),
        ({"s1": np.ma.array(value, mask=hidden)}, {"s1": np.ones(9)}),
    ):
        np.testing.assert_array_equal(model.posterior(*given).stddev(), expected)
    hidden[1, 0] = True
    with pytest.raises(UserError, match="member 's1': an example is masked in part"):
        model.posterior({"s1": np.ma.array(value, mask=hidden)})


@pytest.mark.parametrize("make", [BiVCCA, CVAE, JMVAE, TELBO, VAE])
def test_models_without_groups_say_so(make):
    parts = [group_of("Normal")] if make is VAE else [image(0), group_of("Normal")]
    with pytest.raises(ValueError, match="not the group 's'"):
        make(parts, latent_dim=3)


def test_descriptions_that_do_not_fit_are_refused():
    normal = likelihoods.Normal([2])
    for members in ([], ["a", "a"], ["a b"]):
        with pytest.raises(ValueError, match="member"):
            ModalityGroup("s", members, normal)
    with pytest.raises(ValueError, match="no member 'b'"):
        ModalityGroup("s", ["a"], normal, likelihood_weight={"b": 1})
    with pytest.raises(ValueError, match="negative"):
        ModalityGroup("s", ["a"], normal, cross_weight=-1)
    with pytest.raises(ValueError, match="normalise over the members"):
        mixed = MaskedSequential([GroupedDense(3), MaskedBatchNormalization()])
        ModalityGroup("s", ["a"], normal, mixed)
    with pytest.raises(ValueError, match="wants"):
        MVAE([ModalityGroup("s", ["a"], normal, decoder=grouped_mlp_decoder([3], [2]))], 2)
    with pytest.raises(ValueError, match="'s1' stands for two"):
        MVAE([Modality("s1", normal), group_of("Normal")], 2)


def test_conditions_name_members():
    modalities = [image(0), group_of("Bernoulli")]
    found = parse_conditions(["s1=yes", "s3=0"], modalities)
    assert found["s1"].tolist() == [1.0] and found["s3"].tolist() == [0.0]
    with pytest.raises(UserError, match="yes or no"):
        parse_conditions(["s1=2"], modalities)
    with pytest.raises(UserError, match="the modalities are image, s0"):
        parse_conditions(["s=1"], modalities)
