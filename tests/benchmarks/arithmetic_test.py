"""Operations counted by layer and in HLO, against counts by hand and by arithmetic with ones."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from benchmarks import arithmetic, hlo
from tf_mvae.distributions import likelihoods
from tf_mvae.group import ModalityGroup
from tf_mvae.layers import grouped_mlp_decoder, grouped_mlp_encoder, mlp_decoder, mlp_encoder
from tf_mvae.layers.transposed import ImageConv2DTranspose
from tf_mvae.modality import Modality
from tf_mvae.models import MVAE

LAYERS = {
    "dense": (keras.layers.Dense(3), (2, 5)),
    "valid": (keras.layers.Conv2D(3, 4, strides=2), (2, 8, 10, 5)),
    "same": (keras.layers.Conv2D(3, 4, strides=2, padding="same"), (2, 8, 7, 5)),
    "transposed": (keras.layers.Conv2DTranspose(3, 4), (2, 5, 5, 4)),
    "transposed_same": (
        keras.layers.Conv2DTranspose(3, 4, strides=2, padding="same"),
        (2, 5, 6, 4),
    ),
    "image": (ImageConv2DTranspose(3, 4, strides=2, padding="same"), (2, 5, 6, 4)),
}


@pytest.fixture(params=LAYERS)
def layer(request):
    """A layer, its input's shape, and its operations: with ones each product adds one."""
    made, shape = LAYERS[request.param]
    made = type(made).from_config({**made.get_config(), "use_bias": False})
    made.build(shape)
    made.kernel.assign(tf.ones_like(made.kernel))
    return made, shape, 2 * int(np.sum(made(tf.ones(shape))))


def text_of(function, *arguments):
    compiled = tf.function(function, jit_compile=True)
    return compiled.experimental_get_compiler_ir(*arguments)(stage="hlo")


def test_a_layer_does_one_product_a_pair(layer):
    made, shape, operations = layer
    assert arithmetic.forward(made, shape) == operations


def test_hlo_of_a_layer_and_its_gradients_is_counted_alike(layer):
    made, shape, operations = layer

    def forward(x):
        return made(x)

    def gradients(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(made(x) ** 2)
        return tape.gradient(loss, [x, made.kernel.value])

    x = tf.ones(shape)
    more = arithmetic.cropped(made, shape)
    assert hlo.operations(text_of(forward, x)) == operations + more
    assert hlo.operations(text_of(gradients, x)) == 3 * operations + more


def test_only_an_image_made_of_blocks_is_cropped(layer):
    made, shape, operations = layer
    # 12 x 14 pixels are computed and 10 x 12 kept; at the border a pixel has fewer products.
    whole = 2 * 2 * 5 * 6 * 16 * 4 * 3
    is_image = isinstance(made, ImageConv2DTranspose)
    assert arithmetic.cropped(made, shape) == (whole - operations if is_image else 0)


def test_hlo_counts_what_is_returned():
    one, other = tf.ones([2, 3]), tf.ones([3, 5])

    def twice(a, b):
        tf.matmul(tf.transpose(b), tf.transpose(a))  # Nobody wants it.
        with tf.name_scope("outer"):
            return tf.matmul(tf.matmul(a, b), tf.transpose(b))

    def batched(a, b):
        return tf.matmul(tf.stack([a, a, a, a]), tf.stack([b, b, b, b]))

    assert hlo.operations(text_of(twice, one, other)) == 2 * (2 * 3 * 5) * 2
    assert hlo.operations(text_of(twice, one, other), "outer") == 2 * (2 * 3 * 5) * 2
    assert hlo.operations(text_of(twice, one, other), "inner") == 0
    assert hlo.operations(text_of(batched, one, other)) == 4 * 2 * 2 * 3 * 5


def test_arithmetic_in_a_loop_is_refused():
    def loop(a):
        return tf.while_loop(lambda x: tf.reduce_sum(x) < 100, lambda x: (x @ a,), (a,))

    with pytest.raises(ValueError, match="loop"):
        hlo.operations(text_of(loop, tf.ones([2, 2])))


def test_what_is_no_module_is_refused():
    with pytest.raises(ValueError, match="HLO"):
        hlo.operations("nothing")
    with pytest.raises(ValueError, match="HLO"):
        hlo.allocated_bytes("nothing")


def test_bytes_are_those_of_what_is_written():
    text = """HloModule m

%inner (p: f32[9]) -> f32[9] {
  %p = f32[9]{0} parameter(0)
  ROOT %n = f32[9]{0} negate(%p)
}

ENTRY %main (a: f32[2,3]) -> f32[3,2] {
  %a = f32[2,3]{1,0} parameter(0)
  %b = pred[2,3]{1,0} fusion(%a), kind=kLoop, calls=%inner
  %c = f32[6]{0} bitcast(%a)
  %d = (f32[2]{0}, s32[]) tuple(%c, %b)
  ROOT %e = f32[3,2]{1,0} transpose(%a), dimensions={1,0}
}
"""
    assert hlo.allocated_bytes(text) == 2 * 3 * 1 + 3 * 2 * 4


def model_of(modalities, **kwargs):
    return MVAE(modalities, latent_dim=2, **kwargs)


def image(name="image", **kwargs):
    networks = mlp_encoder([3]), mlp_decoder([2, 2, 1], [6])
    return Modality(name, likelihoods.Bernoulli([2, 2, 1]), *networks, **kwargs)


def label(**kwargs):
    networks = mlp_encoder([7, 4], num_classes=5), mlp_decoder([5], [8])
    return Modality("label", likelihoods.Categorical(5), *networks, **kwargs)


def test_needed_by_hand():
    model = model_of([image(cross_weight=0), label(cross_weight=0)])
    # The image's first layer has no gradient of its input.
    image_encoder = 2 * (2 * 4 * 3 + 3 * 3 * 4)
    # Five classes instead of ten rows; the label's table is no product, finding rows is one.
    label_encoder, lookup = 3 * 2 * (7 * 4 + 4 * 4), 2 * 2 * (10 * 5 * 4)
    decoders = 3 * 2 * (2 * 6 + 6 * 4) + 3 * 2 * (2 * 8 + 8 * 5)
    found = arithmetic.needed(model, 10)
    # Decoded from everything, and itself alone.
    assert found.networks == 10 * image_encoder + 5 * label_encoder + lookup + 10 * 2 * decoders
    # Terms times modalities times latents, precisions and means, each with its gradient.
    assert found.products == 10 * 2 * (3 * 2 * 2) * 2 * 2
    assert found.total == found.networks + found.products
    assert arithmetic.activations(model, 10) == 10 * (3 + 4) + 5 * (7 + 4 + 4) + 20 * (
        6 + 4 + 8 + 5
    )


def test_a_cross_weight_takes_every_term_and_samples_multiply_decodings():
    paper = arithmetic.needed(model_of([image(cross_weight=0), label(cross_weight=0)]), 1).networks
    encoders = paper - 2 * 6 * (36 + 56)
    cross = model_of([image(), label(cross_weight=0)], num_samples=3)
    assert arithmetic.needed(cross, 1).networks == encoders + 3 * 6 * (3 * 36 + 2 * 56)


def test_alignment_takes_one_decoding_a_modality():
    def modalities():
        return [image(), label(), image("other")]

    elbos = model_of(modalities(), num_random_subsets=1, term_weight={})
    aligned = model_of(modalities(), num_random_subsets=1, alignment_weight=0.5)
    decoders = 2 * 6 * (2 * 6 + 6 * 4) + 6 * (2 * 8 + 8 * 5)
    for model, terms in ((elbos, 5), (aligned, 1)):
        assert [arithmetic.decoded_rows(model, m) for m in model.modalities] == [terms] * 3
    found, whole = (arithmetic.needed(model, 1) for model in (aligned, elbos))
    assert whole.networks - found.networks == 4 * decoders
    assert whole.products == found.products  # posteriors of all subsets are there


def test_a_random_subset_needs_what_it_contains():
    def modalities():
        return [
            Modality(
                name,
                likelihoods.Bernoulli([2]),
                mlp_encoder([3]),
                mlp_decoder([2], [3]),
                cross_weight=0,
            )
            for name in "abcd"
        ]

    model = model_of(modalities(), num_random_subsets=2)
    uniform = model_of(modalities(), num_random_subsets=2, subset_distribution="uniform_subsets")
    assert arithmetic.mean_subset_size(model) == 2.5  # 2 or 3
    assert arithmetic.mean_subset_size(uniform) == pytest.approx((6 * 2 + 4 * 3) / 10)
    decoder = 3 * 2 * (2 * 3 + 3 * 2)
    every = arithmetic.needed(model, 1).networks
    assert every - arithmetic.needed(model, 1, 2.5).networks == 2 * 1.5 * decoder


def test_members_of_a_group_are_decoded_from_terms_of_several_and_their_own():
    group = ModalityGroup(
        "group",
        ["a", "b", "c"],
        likelihoods.Bernoulli([]),
        grouped_mlp_encoder([4], num_classes=2),
        grouped_mlp_decoder([], [5]),
        cross_weight=0,
    )
    model = model_of([image(cross_weight=0), group], num_random_subsets=1)
    alone = 2 * (2 * 4 * 3 + 3 * 3 * 4) + 3 * (3 * 2 * (2 * 6 + 6 * 4))
    # A member's table is a product with one-hot rows, whose gradient nobody wants.
    members = 3 * (2 * 2 * 2 * 4 + 3 * 2 * 4 * 4 + 3 * (3 * 2 * (2 * 5 + 5 * 1)))
    places = 2 * 2 * 3 * 3  # of the image's three terms, one of which a draw may leave out
    assert arithmetic.needed(model, 1).networks == alone + members + places


def test_an_unknown_layer_is_refused():
    layer = keras.layers.GRU(3)
    layer.build((1, 4, 2))
    with pytest.raises(TypeError, match="GRU"):
        arithmetic.forward(layer, (1, 4, 2))
