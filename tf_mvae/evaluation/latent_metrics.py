"""How well latents show a class: a linear probe, and clusters compared with classes."""

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

__all__ = ["adjusted_rand_index", "k_means", "linear_probe"]

_DECAY = 1e-3
_PROBE_STEPS = 200
_STARTS, _ROUNDS = 5, 100


def linear_probe(
    latents: np.ndarray, classes: np.ndarray, others: np.ndarray, num_classes: int
) -> np.ndarray:
    """Fits multinomial logistic regression to latents, and predicts the classes of others.

        mean_i -log softmax(W z_i + b)[class_i] + 1e-3 / 2 |W|^2

    Latents are standardised first, with the moments of those that it learns from. The loss is
    convex and is minimised by L-BFGS, so that nothing depends on a seed.

    Args:
        latents: To learn from, `[examples, latent]`.
        classes: Theirs, integers `[examples]`.
        others: `[other examples, latent]`.
        num_classes: How many classes there are.

    Returns:
        The most probable classes of the others, integers `[other examples]`.

    Example:

    ```python
    said = linear_probe(z_train, label_train, z_test, 10)
    accuracy = np.mean(said == label_test)
    ```
    """
    mean, deviation = latents.mean(axis=0), latents.std(axis=0)
    scale = np.where(deviation > 1e-6, deviation, 1.0)

    def with_one(values: np.ndarray) -> np.ndarray:
        return np.concatenate([(values - mean) / scale, np.ones([len(values), 1])], axis=1)

    z = tf.constant(with_one(latents), tf.float64)
    found = _fit(z, tf.constant(classes, tf.int32), num_classes).numpy()
    return np.argmax(with_one(others) @ found, axis=1)


@tf.function(autograph=False, reduce_retracing=True)
def _fit(z: tf.Tensor, classes: tf.Tensor, num_classes: int) -> tf.Tensor:
    """Returns the weights, `[latent + 1, classes]`; the last row is the bias."""
    rows = tf.shape(z)[1]
    decay = tf.concat([tf.fill([rows - 1, 1], tf.constant(_DECAY, z.dtype)), [[0.0]]], 0)

    def loss_and_gradient(flat: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        def loss(flat):
            weights = tf.reshape(flat, [rows, num_classes])
            logits = z @ weights
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(classes, logits)
            return tf.reduce_mean(losses) + 0.5 * tf.reduce_sum(decay * weights**2)

        return tfp.math.value_and_gradient(loss, flat)

    start = tf.zeros([rows * num_classes], z.dtype)
    found = tfp.optimizer.lbfgs_minimize(
        loss_and_gradient, start, tolerance=1e-6, max_iterations=_PROBE_STEPS
    )
    return tf.reshape(found.position, [rows, num_classes])


def k_means(values: np.ndarray, number: int, seed: int = 0) -> np.ndarray:
    """Returns the clusters of values: Lloyd's algorithm from k-means++, the best of five starts.

    Args:
        values: `[examples, latent]`.
        number: How many clusters, at most as many as examples.
        seed: Of the starts.

    Returns:
        Integers below `number`, `[examples]`.
    """
    values = np.asarray(values, np.float64)
    rng = np.random.default_rng([seed, 53])
    found = [_lloyd(values, _starts(values, number, rng)) for _ in range(_STARTS)]
    return min(found, key=lambda pair: pair[0])[1]


def adjusted_rand_index(one: np.ndarray, other: np.ndarray) -> float:
    """Returns how far two partitions agree: 1 if they are the same, 0 on average if random.

    (Hubert and Arabie, *Comparing partitions*, Journal of Classification 1985.) Of all pairs of
    examples it counts those that are together in both, less what is expected of random partitions
    of the same sizes. Two partitions without any freedom (all together, or all apart) agree fully.

    Args:
        one: Clusters or classes, integers `[examples]`.
        other: Likewise.
    """
    table = np.zeros([one.max() + 1, other.max() + 1])
    np.add.at(table, (one, other), 1)

    def pairs(counts: np.ndarray) -> float:
        return float((counts * (counts - 1) / 2).sum())

    both, first, second = pairs(table), pairs(table.sum(1)), pairs(table.sum(0))
    expected = first * second / max(pairs(np.array([len(one)])), 1)
    most = (first + second) / 2
    return 1.0 if most == expected else (both - expected) / (most - expected)


def _starts(values: np.ndarray, number: int, rng: np.random.Generator) -> np.ndarray:
    """Draws centres, each with a probability proportional to its squared distance to the others."""
    centres = [values[rng.integers(len(values))]]
    nearest = np.full(len(values), np.inf)
    for _ in range(number - 1):
        nearest = np.minimum(nearest, np.square(values - centres[-1]).sum(axis=1))
        total = nearest.sum()
        weights = nearest / total if total > 0 else None  # all values are centres already
        centres.append(values[rng.choice(len(values), p=weights)])
    return np.stack(centres)


def _lloyd(values: np.ndarray, centres: np.ndarray) -> tuple[float, np.ndarray]:
    """Returns the sum of squared distances to the centres, and each value's cluster."""
    squares = np.einsum("ij,ij->i", values, values)
    before = None
    for _ in range(_ROUNDS):
        distances = squares[:, np.newaxis] - 2 * values @ centres.T + np.square(centres).sum(axis=1)
        clusters = distances.argmin(axis=1)
        if before is not None and (clusters == before).all():
            break
        before, members = clusters, np.eye(len(centres))[clusters]
        counts = members.sum(axis=0)[:, np.newaxis]
        centres = np.where(counts > 0, members.T @ values / np.maximum(counts, 1), centres)
    return float(distances.min(axis=1).sum()), clusters
