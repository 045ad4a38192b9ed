"""Shapes and parameter counts of convolutional networks."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tf_mvae.layers import conv_decoder, conv_encoder


@pytest.mark.parametrize(("size", "channels"), [((8, 12), 1), ((28, 28), 3)])
def test_each_convolution_halves(size, channels):
    encoder = conv_encoder([2, 3], units=5)
    images = tf.zeros([4, *size, channels])
    assert encoder(images).shape == [4, 5]
    shapes = []
    for layer in encoder.layers:
        images = layer(images)
        if isinstance(layer, keras.layers.Conv2D):
            shapes.append(tuple(images.shape))
    height, width = size
    assert shapes == [(4, height // 2, width // 2, 2), (4, height // 4, width // 4, 3)]


def test_each_transposed_convolution_doubles():
    decoder = conv_decoder([8, 12, 3], filters=[5, 4], units=6)
    z = tf.zeros([7, 2])
    assert decoder(z).shape == [7, 8, 12, 3]
    shapes = []
    for layer in decoder.layers:
        z = layer(z)
        if isinstance(layer, keras.layers.Reshape | keras.layers.Conv2DTranspose):
            shapes.append(tuple(z.shape[1:]))
    assert shapes == [(2, 3, 5), (4, 6, 4), (8, 12, 3)]


def test_the_papers_networks_have_the_papers_numbers_of_weights():
    """FashionMNIST, PAPER.md: convolutions of kernel 4 without bias, then fc 512."""
    encoder = conv_encoder()
    encoder.build((None, 28, 28, 1))
    assert encoder.count_params() == 16 * 64 + 16 * 64 * 128 + (7 * 7 * 128 + 1) * 512
    decoder = conv_decoder([28, 28, 1])
    decoder.build((None, 64))
    dense = (64 + 1) * 512 + (512 + 1) * 7 * 7 * 128
    assert decoder.count_params() == dense + 16 * 128 * 64 + 16 * 64


def test_logits_are_not_squashed():
    decoder = conv_decoder([4, 4, 1], filters=[3], units=4)
    outputs = decoder(10 * np.random.default_rng(0).normal(size=[50, 2]).astype(np.float32))
    assert np.min(outputs) < -0.3 and np.max(outputs) > 0.3  # silu is never below -0.28


@pytest.mark.parametrize("shape", [(10, 8, 1), (8, 10, 1)])
def test_a_size_that_cannot_be_doubled_to_is_refused(shape):
    with pytest.raises(ValueError, match="no multiple of 4"):
        conv_decoder(shape, filters=[3, 2])
