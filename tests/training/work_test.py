"""A training step does the work that its objective needs, and no more: counted, never timed.

Operations are counted in what the step compiles to and compared with a count from the layers'
shapes (`benchmarks/arithmetic.py`), which no measurement of time could do as sharply. Steps that
encode anew for each term, or decode everything from each, show that the guard would notice.
"""

import collections

import numpy as np
import pytest
import tensorflow as tf

from benchmarks import arithmetic, hlo
from tf_mvae.distributions import likelihoods
from tf_mvae.group import ModalityGroup
from tf_mvae.layers import (
    MaskedSequential,
    grouped_mlp_decoder,
    grouped_mlp_encoder,
    mlp_decoder,
    mlp_encoder,
)
from tf_mvae.layers.conv import conv_decoder, conv_encoder
from tf_mvae.modality import Modality
from tf_mvae.models import MVAE
from tf_mvae.objectives.terms import EVERYTHING, RANDOM
from tf_mvae.posteriors import DiagonalGaussian, Product

BATCH = 16
# XLA writes about so many numbers for each that a layer puts out (it, its activation, their
# gradients) and for each weight (its gradient, Adam's moments, itself): more is work in vain.
PER_ACTIVATION, PER_WEIGHT = 7, 5


def image_and_label(make=MVAE, **kwargs):
    """A small version of the paper's MNIST model; every term reconstructs its modalities."""
    networks = mlp_encoder([32, 24]), mlp_decoder([6, 6, 1], [24, 32])
    image = Modality("image", likelihoods.Bernoulli([6, 6, 1]), *networks, cross_weight=0)
    networks = mlp_encoder([24, 16], num_classes=5), mlp_decoder([5], [16, 24])
    label = Modality("label", likelihoods.Categorical(5), *networks, cross_weight=0)
    return make([image, label], latent_dim=4, **kwargs)


def image_and_attributes(make=MVAE):
    """A small version of CelebA-19: convolutions, a group of attributes, a random subset."""
    networks = conv_encoder([4, 8], 16), conv_decoder([8, 8, 1], [8, 4], 16)
    image = Modality("image", likelihoods.Bernoulli([8, 8, 1]), *networks, cross_weight=0)
    networks = grouped_mlp_encoder([12, 16], num_classes=2), grouped_mlp_decoder([], [16, 12])
    group = ModalityGroup("yes", "abcd", likelihoods.Bernoulli([]), *networks, cross_weight=0)
    return make([image, group], latent_dim=4, num_random_subsets=1)


def batch_of(model, seed=0):
    """Returns random data with random missing modalities."""
    rng = np.random.default_rng(seed)
    x, mask = {}, {}
    for modality in model.modalities:
        shape = [BATCH, *modality.likelihood.event_shape]
        x[modality.name] = rng.integers(0, 2, shape)
        mask[modality.name] = rng.integers(0, 2, [BATCH, *modality.mask_shape])
    x = {m.name: tf.cast(x[m.name], m.likelihood.dtype) for m in model.modalities}
    return {"x": x, "mask": {name: tf.cast(value, tf.float32) for name, value in mask.items()}}


def step_of(model, **kwargs):
    model.compile("adam")
    model.optimizer.build(model.trainable_variables)
    return tf.function(model.train_step, **kwargs)


def compiled(model):
    """Returns a function that returns the compiled step's text."""
    return step_of(model, jit_compile=True).experimental_get_compiler_ir(batch_of(model))


@pytest.fixture(scope="module", params=[image_and_label, image_and_attributes])
def subject(request):
    model = request.param()
    return model, compiled(model)


def test_the_compiled_step_does_what_is_needed(subject):
    model, ir = subject
    text, needed = ir(stage="hlo"), arithmetic.needed(model, BATCH)
    assert hlo.operations(text) == needed.total
    assert hlo.operations(text, "product_of_experts") == needed.products


def test_alignment_decodes_each_modality_once():
    model = image_and_label(alignment_weight=0.5)
    elbos = arithmetic.needed(image_and_label(), BATCH).total
    needed = arithmetic.needed(model, BATCH).total
    assert hlo.operations(compiled(model)(stage="hlo")) == needed < 0.8 * elbos


def test_a_draw_that_needs_less_is_decoded_for_less():
    model = image_and_attributes()
    text, whole = compiled(model)(stage="hlo"), arithmetic.needed(model, BATCH).total
    # Where the random subset lacks the image, two terms are decoded to it instead of three.
    image = model.modalities[0]
    saved = BATCH * arithmetic.decoding(model, image)
    saved += arithmetic.placing(model, image, BATCH) - arithmetic.placing(model, image, BATCH, 0)
    assert saved > 0.1 * whole
    assert hlo.operations(text, fewest=True) == whole - saved


def bytes_explained(model):
    weights = sum(v.value.shape.num_elements() for v in model.trainable_variables)
    return 4 * (PER_ACTIVATION * arithmetic.activations(model, BATCH) + PER_WEIGHT * weights)


def test_the_compiled_step_writes_no_more_than_its_shapes_explain(subject):
    model, ir = subject
    written, bound = hlo.allocated_bytes(ir(stage="optimized_hlo")), bytes_explained(model)
    assert 0.5 * bound < written < bound


@pytest.mark.parametrize("make", [image_and_label, image_and_attributes])
def test_each_network_is_traced_once_whatever_is_missing(make, monkeypatch):
    model = make()
    networks = {id(n): n for m in model.modalities for n in (m.encoder, m.decoder)}
    calls = collections.Counter()
    call = MaskedSequential.call

    def counting(self, *args, **kwargs):
        calls[id(self)] += 1
        return call(self, *args, **kwargs)

    monkeypatch.setattr(MaskedSequential, "call", counting)
    step = step_of(model)
    for seed in range(4):
        step(batch_of(model, seed))
    whole = batch_of(model)
    step({**whole, "mask": {name: tf.ones_like(m) for name, m in whole["mask"].items()}})
    step({**whole, "mask": {name: tf.zeros_like(m) for name, m in whole["mask"].items()}})
    assert calls == dict.fromkeys(networks, 1)
    assert step.experimental_get_tracing_count() == 1


class Reencoding(Product):
    """A product whose experts are encoded again for every term."""

    def joint(self, model, x, mask, training):
        self.given = model, x, training

    def of(self, encoded, subset):
        model, x, training = self.given
        found = []
        for index in range(subset.shape[0]):
            seen = {m.name: subset[index, :, i] for i, m in enumerate(model.modalities)}
            found.append(super().of(model._encoded(x, seen, training), subset[index]))
        return DiagonalGaussian(*(tf.stack(parts) for parts in zip(*found, strict=True)))


class EncodesForEachTerm(MVAE):
    """Every term encodes its own subset, as public implementations do."""

    _make_kind = Reencoding


class DecodesFromEachTerm(MVAE):
    """Every modality is decoded from every term, with weight 0 if it is not reconstructed."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        names = (EVERYTHING, *self._names, *[RANDOM] * bool(self.num_random_subsets))
        self.objective.decoded = lambda modalities: dict.fromkeys(self._names, names)


# That the two counts above would show it.
@pytest.mark.long
def test_encoding_for_each_term_would_be_noticed():
    model = image_and_label(EncodesForEachTerm)
    ir = compiled(model)
    assert hlo.operations(ir(stage="hlo")) > 1.2 * arithmetic.needed(model, BATCH).total
    assert hlo.allocated_bytes(ir(stage="optimized_hlo")) > 1.1 * bytes_explained(model)


@pytest.mark.long
def test_decoding_from_each_term_would_be_noticed():
    model = image_and_label(DecodesFromEachTerm)
    done = hlo.operations(compiled(model)(stage="hlo"))
    assert done > 1.2 * arithmetic.needed(image_and_label(), BATCH).total
