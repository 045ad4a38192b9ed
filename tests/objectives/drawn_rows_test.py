"""Random terms are decoded to a modality only for rows that the sampled subsets may need."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests import tiny
from tests.group_test import grouped
from tf_mvae.objectives.rows import RowPlan, log_likelihood_of

ROWS = np.array([[1, 1, 1], [1, 1, 0], [1, 0, 0], [1, 1, 1]], np.float32)


def single(**kwargs):
    return tiny.make_model(0.0, num_random_subsets=2, **kwargs)


def batch_of(model):
    if len(model.modalities) == 3 and model.modalities[1].name == "label":
        return tiny.make_batch(ROWS)
    rng = np.random.default_rng(0)
    shapes = {"image": [6, 3], "s": [6, 4, 2], "note": [6, 2]}
    return {
        "x": {n: rng.uniform(size=shape).astype(np.float32) for n, shape in shapes.items()},
        "mask": {
            m.name: rng.integers(0, 2, [6, *m.mask_shape]).astype(np.float32)
            for m in model.modalities
        },
    }


class EveryRow(RowPlan):
    """A plan that decodes all rows, and counts those that are needed."""

    def log_likelihood(self, modality, value, z, counts, terms, drawn):
        return tf.where(counts > 0, log_likelihood_of(modality, value, z, counts, True), 0.0)


@pytest.mark.parametrize(
    ("make", "mode"),
    [
        *((make, mode) for make in (single, grouped) for mode in ("eager", "function")),
        (single, "xla"),
        pytest.param(grouped, "xla", marks=pytest.mark.long),
    ],
    indirect=["mode"],
)
def test_loss_and_gradients_are_those_of_decoding_everything(make, mode):
    model = make()
    batch = tf.nest.map_structure(tf.constant, batch_of(model))

    def loss_and_gradients(seed):
        def loss():
            return model.elbo(batch, seed=seed, training=True, num_samples=2).loss

        return tiny.gradients_of(loss, model.trainable_variables)

    seeds = [tf.constant([seed, 0]) for seed in range(4)]
    run = mode(loss_and_gradients)
    found = [run(seed) for seed in seeds]
    model.plan = EveryRow()
    run = tf.function(loss_and_gradients)
    for seed, values in zip(seeds, found, strict=True):
        tiny.assert_close(values, run(seed), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("make", [single, grouped])
def test_no_more_is_decoded_than_is_needed(make, monkeypatch):
    model = make()
    image, k = model.modalities[0], model.num_random_subsets
    batch, rows = batch_of(model), []
    size = len(batch["x"]["image"])
    call = image.decoder.call
    monkeypatch.setattr(
        image.decoder, "call", lambda z, **kwargs: rows.append(z.shape[0]) or call(z, **kwargs)
    )
    for seed in range(12):
        rows.clear()
        found = model.elbo(batch, seed=seed, training=True)
        # What counts: the image's own term and those of several modalities that hold it.
        first = found.subset.shape[0] - k
        several = np.concatenate([found.subset[:1], found.subset[first:]])[:, :, 0]
        mask = batch["mask"]["image"]
        alone = mask * (sum(np.reshape(m, [size, -1]).sum(1) for m in batch["mask"].values()) > 1)
        assert rows == [several.sum() + alone.sum()]
    # XLA has a program of each number of rows that a draw may need.
    rows.clear()
    loss = tf.function(lambda: model.elbo(batch, seed=0, training=True).loss, jit_compile=True)
    loss.get_concrete_function()
    assert rows == [(2 + level) * size for level in sorted({k // 2, (3 * k + 3) // 4, k})]
    rows.clear()
    model.elbo(batch, seed=0)  # not a training step
    assert rows == [(2 + k) * size]


def test_batches_of_unknown_size_decode_what_is_needed(monkeypatch):
    # Keras' `fit` on arrays traces such a step.
    model = single()
    image, batch = model.modalities[0], tf.nest.map_structure(tf.constant, batch_of(single()))
    call, rows = image.decoder.call, tf.Variable(0)

    def counted(z, **kwargs):
        rows.assign(tf.shape(z)[0])
        return call(z, **kwargs)

    monkeypatch.setattr(image.decoder, "call", counted)
    unknown = tf.nest.map_structure(lambda t: tf.TensorSpec([None, *t.shape[1:]], t.dtype), batch)

    @tf.function(input_signature=[unknown, tf.TensorSpec([2], tf.int32)])
    def loss(batch, seed):
        return model.elbo(batch, seed=seed, training=True).loss

    decoded = set()
    for seed in ([n, 0] for n in range(12)):
        found, number = loss(batch, seed), int(rows)
        tiny.assert_close(found, model.elbo(batch, seed=seed, training=True).loss)
        assert number == int(rows)
        decoded.add(number)
    assert len(decoded) > 1


def test_batch_norm_sees_the_same_rows():
    statistics = []
    for plan in (RowPlan(), EveryRow()):
        keras.utils.set_random_seed(0)
        model = single(batch_norm=True)
        model.plan = plan
        batch = tiny.make_batch(ROWS)
        loss = tf.function(lambda seed, m=model, b=batch: m.elbo(b, seed=seed, training=True).loss)
        for seed in range(3):
            loss(tf.constant([seed, 0]))
        statistics.append([np.array(v) for v in model.non_trainable_variables])
    tiny.assert_close(*statistics)
