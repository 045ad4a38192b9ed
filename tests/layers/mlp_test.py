"""Fully connected networks."""

import numpy as np
import pytest
import tensorflow as tf

from tf_mvae import layers
from tf_mvae.layers import mlp_decoder, mlp_encoder


@pytest.mark.parametrize("event_shape", [(3,), (4, 2, 1)])
def test_encoder_of_arrays(event_shape):
    encoder = mlp_encoder([6, 5])
    assert encoder(tf.zeros([7, *event_shape])).shape == [7, 5]
    size = int(np.prod(event_shape))
    assert encoder.count_params() == (size + 1) * 6 + (6 + 1) * 5


def test_encoder_of_classes():
    encoder = mlp_encoder([6, 5], num_classes=4)
    outputs = encoder(tf.constant([0, 3, 3]))
    assert outputs.shape == [3, 5]
    assert encoder.count_params() == 4 * 6 + (6 + 1) * 5
    np.testing.assert_allclose(outputs[1], outputs[2], rtol=1e-5)
    assert np.max(np.abs(outputs[0] - outputs[1])) > 1e-4


@pytest.mark.parametrize("parameter_shape", [(3,), (4, 2, 1), (2, 3)])
def test_decoder(parameter_shape):
    decoder = mlp_decoder(parameter_shape, [6, 5])
    assert decoder(tf.zeros([7, 2])).shape == [7, *parameter_shape]
    size = int(np.prod(parameter_shape))
    assert decoder.count_params() == (2 + 1) * 6 + (6 + 1) * 5 + (5 + 1) * size


def test_the_papers_networks_have_the_papers_numbers_of_weights():
    """MNIST, PAPER.md: 784-512-512 and embed(10, 512)-512, with an expert of 2 x 64 each."""
    image, label = mlp_encoder(), mlp_encoder(num_classes=10)
    image.build((None, 28, 28, 1))
    label.build((None,))
    expert = (512 + 1) * 2 * 64
    assert image.count_params() + expert == 730_240  # Table 1: VAE
    assert image.count_params() + label.count_params() + 2 * expert == 1_063_680  # MVAE


def test_activation_is_as_named():
    encoder = mlp_encoder([4], activation="relu")
    outputs = encoder(np.random.default_rng(0).normal(size=[50, 3]).astype(np.float32))
    assert np.min(outputs) == 0 and np.max(outputs) > 0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: layers.mlp_encoder([2.5]), "units must be a list of integers"),
        (lambda: layers.mlp_encoder([]), "units must hold at least 1"),
        (lambda: layers.mlp_encoder([4], num_classes=0), "num_classes must be an integer"),
        (lambda: layers.mlp_decoder([0]), "parameter_shape must be a list of integers"),
        (lambda: layers.conv_encoder([4, -1]), "filters must be a list of integers"),
        (lambda: layers.conv_encoder([4], units=0), "units must be an integer of 1 or more"),
        (lambda: layers.conv_decoder([8, 8]), "image_shape must be .height, width, channels."),
        (lambda: layers.conv_decoder([8, 8, 1], []), "filters must hold at least 1"),
        (lambda: layers.grouped_mlp_encoder([0]), "units must be a list of integers"),
        (lambda: layers.GroupedDense(1.5), "units must be an integer of 1 or more"),
        (lambda: layers.GroupedEmbedding(0, 2), "num_classes must be an integer of 1 or more"),
        (lambda: layers.RecurrentEncoder(0), "vocabulary_size must be an integer of 1 or more"),
        (lambda: layers.RecurrentEncoder(7, pooling="mean"), "pooling must be one of"),
        (lambda: layers.RecurrentDecoder(3), "vocabulary_size must be an integer of 4 or more"),
        (lambda: layers.RecurrentDecoder(9, units=-2), "units must be an integer of 1 or more"),
        (lambda: layers.SeededDropout(float("nan")), "rate must be"),
        (lambda: layers.MaskedSequential([tf.nn.relu]), "must be a Keras layer or model"),
    ],
)
def test_arguments_outside_their_domain_are_refused(make, message):
    with pytest.raises(ValueError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)
