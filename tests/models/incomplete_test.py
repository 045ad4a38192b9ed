"""Training on incomplete data against a naive loop, example by example."""

import keras
import numpy as np
import tensorflow as tf

from tests import tiny
from tf_mvae.ops import random

STEPS, ROWS = 4, 10
CROSS_WEIGHTS = {"image": 0.25, "label": 1.0, "reading": 2.0}


def batch_of(step):
    """Returns a batch in which nine of ten rows have no label, and half miss another modality."""
    rng = np.random.default_rng([7, step])
    present = np.stack([np.ones(ROWS), np.zeros(ROWS), rng.random(ROWS) < 0.5], axis=1)
    present[rng.integers(ROWS), 1] = 1
    return tiny.make_batch(present, seed=step)


def trained(step_of):
    """Returns the loss curve of a model that learns by `step_of(model, batch, step)`."""
    keras.utils.set_random_seed(0)
    model = tiny.make_model(CROSS_WEIGHTS, seed=5, term_weight={})
    model.compile(keras.optimizers.Adam(0.02))
    model.optimizer.build(model.trainable_variables)
    return [float(step_of(model, batch_of(step), step)) for step in range(STEPS)]


def product(experts):
    """The product of the prior and Gaussian experts, by the formula."""
    precision = tf.add_n([tf.ones(tiny.LATENT_DIM), *(1 / e.variance()[0] for e in experts)])
    weighted = tf.add_n(
        [tf.zeros(tiny.LATENT_DIM), *(e.mean()[0] / e.variance()[0] for e in experts)]
    )
    return weighted / precision, 1 / precision


def naive_example(model, x, members, noise):
    """Returns minus the sum of one example's ELBOs; each term encodes and decodes again."""
    own = [members, *([name] for name in members if len(members) > 1)]
    total = 0.0
    for subset in own:
        given = {name: x[name] for name in subset}
        loc, variance = product(list(model.experts(given, training=True).values()))
        term = 0 if subset == members else 1 + tiny.NAMES.index(subset[0])
        z = loc + tf.sqrt(variance) * noise[term]
        total -= 0.5 * tf.reduce_sum(variance + loc**2 - 1 - tf.math.log(variance))
        decoded = model.decode(z[tf.newaxis], training=True)
        for m in model.modalities:
            if m.name in members:
                log_prob = decoded[m.name].log_prob(tf.cast(x[m.name], m.likelihood.dtype))[0]
                total += log_prob * (m.likelihood_weight if m.name in subset else m.cross_weight)
    return -total


def naive_step(model, batch, step):
    seed = random.fold_in(tf.constant([model.seed, 0]), step)
    noise_seed = tf.unstack(random.split(seed, 2))[1]
    noise = random.stateless_normal([1, 4, ROWS, tiny.LATENT_DIM], noise_seed)[0]
    with tf.GradientTape() as tape:
        losses = []
        for row in range(ROWS):
            x = {name: value[row : row + 1] for name, value in batch["x"].items()}
            members = [name for name in tiny.NAMES if batch["mask"][name][row]]
            losses.append(naive_example(model, x, members, noise[:, row]))
        loss = tf.add_n(losses) / ROWS
    gradients = tape.gradient(loss, [v.value for v in model.trainable_variables])
    model.optimizer.apply(gradients, model.trainable_variables)
    return loss


def test_the_loss_curve_is_that_of_a_naive_loop_over_examples_on_the_same_draws():
    naive = trained(naive_step)
    step = None

    def ours(model, batch, index):
        nonlocal step
        step = step or tf.function(model.train_step)
        step(tf.nest.map_structure(tf.constant, batch))
        loss = model.metrics[0].result()
        model.metrics[0].reset_state()
        return loss

    np.testing.assert_allclose(trained(ours), naive, rtol=1e-4)
