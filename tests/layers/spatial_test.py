"""Networks from and to latents that are grids."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tf_mvae.errors import UserError
from tf_mvae.layers import (
    ContextBlock,
    FromPatches,
    LatentGrid,
    ToPatches,
    spatial_decoder,
    spatial_encoder,
    spatial_head,
)


def random(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def test_a_patch_is_in_the_channels_of_one_position_and_comes_back():
    images = random(2, 6, 4, 3)
    patches = ToPatches(2)(images)
    assert patches.shape == [2, 3, 2, 12]
    np.testing.assert_array_equal(patches[1, 2, 1], images[1, 4:6, 2:4].reshape(-1))
    np.testing.assert_array_equal(FromPatches(2)(patches), images)


def test_an_image_that_is_no_whole_number_of_patches_is_refused():
    with pytest.raises(UserError, match="a 6 x 5 image is not a whole number of 2 x 2 patches"):
        ToPatches(2)(tf.zeros([1, 6, 5, 1]))


def test_a_grid_has_the_latents_numbers_in_order_and_what_is_behind_them_everywhere():
    z = random(3, 2 * 2 * 3 + 2)
    grid = LatentGrid([2, 2, 3])(z).numpy()
    np.testing.assert_array_equal(grid[..., :3], z[:, :12].reshape(3, 2, 2, 3))
    for row in range(3):
        assert np.all(grid[row, ..., 3:] == z[row, 12:])
    assert LatentGrid([2, 2, 3])(z[:, :12]).shape == [3, 2, 2, 3]
    with pytest.raises(UserError, match="needs a latent of 12 numbers; it has 11"):
        LatentGrid([2, 2, 3])(z[:, :11])


@pytest.mark.parametrize("size", [(8, 12), (2, 3), (7, 5)])
def test_a_new_block_returns_its_input_and_a_trained_one_is_its_formula(size):
    block, inputs = ContextBlock(units=5), random(2, *size, 3)
    np.testing.assert_array_equal(block(inputs), inputs)
    for index, weight in enumerate(block.weights):
        weight.assign(0.3 * random(*weight.shape, seed=index))

    def silu(x):
        return x / (1 + np.exp(-x))

    def convolved(layer, x):
        kernel, bias = (w.numpy() for w in layer.weights)
        padded = np.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)])
        total = 0
        for i in range(3):
            for j in range(3):
                total = total + padded[:, i : i + size[0], j : j + size[1]] @ kernel[i, j]
        return total + bias

    near = convolved(block.second, silu(convolved(block.first, silu(inputs))))
    places = {(8, 12): (4, 4), (2, 3): (2, 3), (7, 5): (7, 5)}[size]
    down, across = (side // place for side, place in zip(size, places, strict=True))
    means = np.stack(
        [
            inputs[:, i * down : (i + 1) * down, j * across : (j + 1) * across].mean((1, 2))
            for i in range(places[0])
            for j in range(places[1])
        ],
        1,
    ).reshape(2, -1)
    (inner, inner_bias), (outer, outer_bias) = (
        [w.numpy() for w in layer.weights] for layer in (block.inner, block.outer)
    )
    far = (silu(means @ inner + inner_bias) @ outer + outer_bias).reshape(2, *places, 3)
    far = far.repeat(down, 1).repeat(across, 2)
    np.testing.assert_allclose(block(inputs), inputs + near + far, rtol=1e-4, atol=1e-4)


def test_every_position_of_a_block_sees_every_other():
    block = ContextBlock()
    block.build((None, 16, 16, 2))
    for index, weight in enumerate(block.weights):
        weight.assign(random(*weight.shape, seed=index))
    inputs = random(1, 16, 16, 2)
    changed = inputs.copy()
    changed[0, 0, 0] += 1
    assert np.all(np.abs(block(changed) - block(inputs)).max(-1) > 0)


def test_networks_keep_positions_and_fit_each_other():
    images = tf.zeros([2, 16, 8, 3])
    features = spatial_encoder(4, 6, blocks=1)(images)
    assert features.shape == [2, 4, 2, 6]
    assert spatial_head(5)(features).shape == [2, 4, 2, 10]
    for shape in ([16, 8, 3], [2, 16, 8, 3]):
        decoder = spatial_decoder([4, 2, 5], shape, 6)
        assert decoder(tf.zeros([3, 40])).shape == [3, *shape]
        assert decoder.compute_output_shape((3, 40)) == (3, *shape)


def test_several_parameters_a_pixel_are_those_of_the_pixel():
    """Both parameters of a pixel are at the position of its patch."""
    decoder = spatial_decoder([2, 2, 1], [2, 4, 4, 1], 3, blocks=0)
    decoder(tf.zeros([1, 4]))
    (layer,) = [one for one in decoder.layers if isinstance(one, keras.layers.Dense)]
    kernel, bias = layer.get_weights()
    layer.set_weights([0 * kernel, np.arange(8, dtype=np.float32)])
    out = decoder(random(1, 4)).numpy()[0, ..., 0]  # [parameter, height, width]
    np.testing.assert_array_equal(out[0], np.tile([[0, 2], [4, 6]], [2, 2]))
    np.testing.assert_array_equal(out[1], np.tile([[1, 3], [5, 7]], [2, 2]))


@pytest.mark.parametrize("shape", [[9, 8, 1], [4, 8, 1], [8, 8]])
def test_an_image_that_is_no_multiple_of_the_latent_is_refused(shape):
    with pytest.raises(UserError, match="the same multiple|parameter_shape must be"):
        spatial_decoder([4, 4, 2], shape)
