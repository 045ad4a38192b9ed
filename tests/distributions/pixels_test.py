"""Bytes: pixels of images are scaled, and other numbers mean themselves."""

import numpy as np
import pytest
import tensorflow as tf

from tf_mvae import MVAE, Modality, ModalityGroup, UserError, likelihoods


@pytest.mark.parametrize(
    ("likelihood", "scale"),
    [
        (likelihoods.Bernoulli([4, 4, 1]), 255),
        (likelihoods.Bernoulli([16]), 255),
        (likelihoods.Normal([4, 4, 3]), 255),
        (likelihoods.Laplace([4, 4]), 255),
        (likelihoods.Normal([7]), 1),
        (likelihoods.StudentT([7]), 1),
        (likelihoods.Laplace([]), 1),
        (likelihoods.Poisson([4, 4, 1]), 1),
        (likelihoods.NegativeBinomial([4, 4, 1]), 1),
        (likelihoods.Gamma([4, 4, 1]), 1),
        (likelihoods.CensoredNormal([]), 1),
    ],
    ids=lambda value: f"{type(value).__name__}{getattr(value, 'event_shape', value)}",
)
def test_bytes_are_pixels_of_images_only(likelihood, scale):
    value = np.full([2, *likelihood.event_shape], 51, np.uint8)
    np.testing.assert_allclose(likelihood.prepare(tf.constant(value)), value / scale, rtol=1e-6)
    assert likelihood.takes_pixels == (scale == 255)


def make_model(likelihood):
    model = MVAE([Modality("a", likelihood), Modality("y", likelihoods.Categorical(3))], 2)
    model.compile("sgd", jit_compile=False)
    return model


def test_numbers_are_the_same_in_every_type():
    model = make_model(likelihoods.Normal([7]))
    numbers = np.arange(28).reshape(4, 7)
    losses = [
        float(model.elbo({"a": numbers.astype(kind), "y": [0, 1, 2, 0]}, seed=1).loss)
        for kind in (np.int64, np.uint8, np.int8, np.float32)
    ]
    assert losses == [losses[0]] * 4
    numbers[0, 0] = 200
    filled = model.impute({"a": numbers.astype(np.uint8)}, 2)["a"].filled
    np.testing.assert_array_equal(filled, numbers)


def test_bits_in_bytes_are_refused():
    model = make_model(likelihoods.Bernoulli([4, 4, 1]))
    bits = (np.arange(64).reshape(4, 4, 4, 1) % 3 == 0).astype(np.uint8)
    labels = np.array([0, 1, 2, 0])
    dataset = tf.data.Dataset.from_tensor_slices({"a": bits, "y": labels}).batch(2)
    for call in (
        lambda: model.fit({"a": bits, "y": labels}, verbose=0),
        lambda: model.fit(dataset, verbose=0),
        lambda: model.posterior({"a": bits}),
    ):
        with pytest.raises(UserError, match="'a': numbers of type uint8 are pixels .* bool or f"):
            call()
    for right in (255 * bits, bits.astype(bool), 0 * bits):
        model.evaluate({"a": right, "y": labels}, verbose=0)


def test_attributes_of_a_group_in_bytes_are_refused_too():
    group = ModalityGroup("tags", ["one", "two"], likelihoods.Bernoulli([]))
    model = MVAE([group, Modality("y", likelihoods.Categorical(3))], 2)
    tags = np.array([[0, 1], [1, 1], [0, 0]], np.uint8)
    with pytest.raises(UserError, match="uint8 are pixels"):
        model.posterior({"tags": tags})
    model.posterior({"tags": tags.astype(bool)})
