"""Metrics of how well latents separate classes: a linear probe, and clusters."""

import numpy as np
import tensorflow as tf

from tf_mvae.distributions.tfp import minimize

__all__ = ["adjusted_rand_index", "k_means", "linear_probe"]

_DECAY = 1e-3
_PROBE_STEPS = 200
_STARTS, _ROUNDS = 5, 100


def linear_probe(
    latents: np.ndarray, classes: np.ndarray, others: np.ndarray, num_classes: int
) -> np.ndarray:
    """Fits multinomial logistic regression to latents, and predicts the classes of other latents.

        loss = mean_i -log softmax(W z_i + b)[class_i] + 1e-3 / 2 |W|^2

    Latents are first standardised with the mean and the standard deviation of the training latents.
    The loss is convex, and L-BFGS minimises it, so the result does not depend on a seed.

    Args:
        latents: Training latents, `[examples, latent]`.
        classes: Their classes, integers `[examples]`.
        others: Latents to classify, `[other examples, latent]`.
        num_classes: The number of classes.

    Returns:
        The most probable classes of `others`, integers `[other examples]`.

    Example:

    ```python
    from tf_mvae.evaluation.latent_metrics import linear_probe

    classes = np.arange(100) % 2
    z = np.random.default_rng(0).normal(classes[:, np.newaxis], 0.1, [100, 3])
    said = linear_probe(z[:50], classes[:50], z[50:], num_classes=2)
    accuracy = np.mean(said == classes[50:])  # 1.0
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

    def loss(flat: tf.Tensor) -> tf.Tensor:
        weights = tf.reshape(flat, [rows, num_classes])
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(classes, z @ weights)
        return tf.reduce_mean(losses) + 0.5 * tf.reduce_sum(decay * weights**2)

    start = tf.zeros([rows * num_classes], z.dtype)
    found = minimize(loss, start, tolerance=1e-6, steps=_PROBE_STEPS)
    return tf.reshape(found, [rows, num_classes])


def k_means(values: np.ndarray, number: int, seed: int = 0) -> np.ndarray:
    """Assigns values to clusters by Lloyd's algorithm, the best of five k-means++ starts.

    Args:
        values: `[examples, latent]`.
        number: The number of clusters, at most that of examples.
        seed: The seed of the starts.

    Returns:
        The cluster of each example, integers below `number`, `[examples]`.
    """
    values = np.asarray(values, np.float64)
    rng = np.random.default_rng([seed, 53])
    found = [_lloyd(values, _starts(values, number, rng)) for _ in range(_STARTS)]
    return min(found, key=lambda pair: pair[0])[1]


def adjusted_rand_index(one: np.ndarray, other: np.ndarray) -> float:
    """Returns the adjusted Rand index of two partitions: 1 if equal, 0 on average if random.

        (n_both - e) / ((n_1 + n_2) / 2 - e),   e = n_1 n_2 / n

    with the number `n` of pairs of examples, and the numbers of pairs in the same part of the first
    partition, of the second one, and of both (Hubert and Arabie, *Comparing partitions*, Journal of
    Classification 1985). If both partitions have a single part, or parts of one example only, the
    index is 1.

    Args:
        one: Clusters or classes, integers `[examples]`.
        other: Clusters or classes of the same examples, integers `[examples]`.
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
    """Chooses centres by k-means++: with probability proportional to the squared distance."""
    centres = [values[rng.integers(len(values))]]
    nearest = np.full(len(values), np.inf)
    for _ in range(number - 1):
        nearest = np.minimum(nearest, np.square(values - centres[-1]).sum(axis=1))
        total = nearest.sum()
        weights = nearest / total if total > 0 else None  # uniform if all values are centres
        centres.append(values[rng.choice(len(values), p=weights)])
    return np.stack(centres)


def _lloyd(values: np.ndarray, centres: np.ndarray) -> tuple[float, np.ndarray]:
    """Returns the sum of squared distances to the centres, and each value's cluster."""
    squares = np.einsum("ij,ij->i", values, values)
    before = None
    for _ in range(_ROUNDS):
        # |v - c|^2 = |v|^2 - 2 v c + |c|^2, [examples, clusters].
        distances = squares[:, np.newaxis] - 2 * values @ centres.T + np.square(centres).sum(axis=1)
        clusters = distances.argmin(axis=1)
        if before is not None and (clusters == before).all():
            break
        before, members = clusters, np.eye(len(centres))[clusters]
        counts = members.sum(axis=0)[:, np.newaxis]
        centres = np.where(counts > 0, members.T @ values / np.maximum(counts, 1), centres)
    return float(distances.min(axis=1).sum()), clusters
