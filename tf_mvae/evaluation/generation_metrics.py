"""Metrics of generated examples against real ones: Frechet distance, density, coverage, variance.

All functions take NumPy arrays. Features are vectors whose distance measures how different two
examples are; the analyses use those of a judge (`tf_mvae.evaluation.judges`).
"""

from typing import NamedTuple

import numpy as np

__all__ = ["GaussianFit", "Neighbourhoods", "within_class_variance"]

_BLOCK = 1000


class GaussianFit(NamedTuple):
    """A Gaussian fitted to a sample's mean and covariance, for the Frechet distance.

    The Frechet distance of two Gaussians with means m and covariances C is

        |m_1 - m_2|^2 + tr(C_1 + C_2 - 2 (C_1 C_2)^(1/2))

    It is 0 for equal Gaussians. The estimate from finite samples has a positive bias, which grows
    with the number of features and decreases with the number of examples, so compare only distances
    from equally many examples. Heusel et al., *GANs Trained by a Two Time-Scale Update Rule*
    (NeurIPS 2017).

    Attributes:
        mean: The mean, `[features]`.
        covariance: The covariance, `[features, features]`.
        root: The covariance's symmetric square root.

    Example:
    ```python
    rng = np.random.default_rng(0)
    from tf_mvae.evaluation.generation_metrics import GaussianFit

    real = GaussianFit.of(rng.normal(size=[50_000, 2]))
    real.frechet_distance(rng.normal(3, 1, size=[50_000, 2]))  # about 18
    ```
    """

    mean: np.ndarray
    covariance: np.ndarray
    root: np.ndarray

    @classmethod
    def of(cls, features: np.ndarray) -> "GaussianFit":
        """Fits a Gaussian to a sample.

        Args:
            features: `[examples, features]`, at least two examples.
        """
        mean, covariance = _moments(features)
        values, vectors = np.linalg.eigh(covariance)
        return cls(mean, covariance, (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T)

    def frechet_distance(self, features: np.ndarray) -> float:
        """Returns the Frechet distance to a Gaussian that is fitted to another sample.

        Args:
            features: `[examples, features]`, at least two examples.
        """
        mean, covariance = _moments(features)
        # C_1 C_2 has the eigenvalues of the symmetric C_1^(1/2) C_2 C_1^(1/2).
        shared = np.linalg.eigvalsh(self.root @ covariance @ self.root)
        traces = np.trace(self.covariance) + np.trace(covariance)
        means = np.square(self.mean - mean).sum()
        return float(means + traces - 2 * np.sqrt(np.maximum(shared, 0)).sum())


class Neighbourhoods(NamedTuple):
    """Balls around real examples, for density and coverage of generated ones.

    The radius of a ball is the distance to the k-th nearest other real example.

    Naeem et al., *Reliable Fidelity and Diversity Metrics for Generative Models* (ICML 2020).
    With N real and M generated examples,

        density  = 1 / (k M) sum_j sum_i [generated j lies in the ball of real i]
        coverage = 1 / N sum_i [some generated example lies in the ball of real i]

    Density is about 1 for another real sample, above 1 if generated examples concentrate where real
    ones are dense, and 0 far from all real examples. Coverage is at most 1; for another real sample
    of the same size it is about 1 - 2^(-k).

    Attributes:
        real: Features, `[real, features]`, float64.
        radii: Squared radii, `[real]`.
        k: The number of neighbours.

    Example:
    ```python
    from tf_mvae.evaluation.generation_metrics import Neighbourhoods

    rng = np.random.default_rng(0)
    real, generated = rng.normal(size=[2, 1000, 2])
    inside, covered = Neighbourhoods.of(real, k=5).compare(generated)
    density, coverage = inside.mean(), covered.mean()  # about 1 and 0.97
    ```
    """

    real: np.ndarray
    radii: np.ndarray
    k: int

    @classmethod
    def of(cls, real: np.ndarray, k: int = 5) -> "Neighbourhoods":
        """Computes the radii of all balls.

        Args:
            real: Features, `[real, features]`, more than `k` examples.
            k: The number of neighbours.
        """
        real = np.asarray(real, np.float64)
        radii = []
        for start in range(0, len(real), _BLOCK):
            distances = _squared_distances(real[start : start + _BLOCK], real)
            rows = np.arange(len(distances))
            distances[rows, start + rows] = -1  # the example itself sorts first
            radii.append(np.partition(distances, k, axis=1)[:, k])
        return cls(real, np.concatenate(radii), k)

    def compare(self, generated: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Compares generated examples with the real ones.

        Args:
            generated: Features, `[generated, features]`.

        Returns:
            The density of each generated example, `[generated]`, whose mean is the density; and
            whether each real example is covered, booleans `[real]`, whose mean is the coverage.
        """
        generated = np.asarray(generated, np.float64)
        counts, covered = [], np.zeros(len(self.real), bool)
        for start in range(0, len(generated), _BLOCK):
            inside = _squared_distances(generated[start : start + _BLOCK], self.real) < self.radii
            counts.append(inside.sum(axis=1))
            covered |= inside.any(axis=0)
        return np.concatenate(counts) / self.k, covered


def within_class_variance(values: np.ndarray, members: np.ndarray) -> float:
    """Returns the pooled variance within classes, summed over pixels.

        sum_c sum_(i in c) |x_i - mean_c|^2 / sum_c (n_c - 1)

    An example may belong to several classes (of several attributes) or to none. Classes of one
    example are excluded.

    Args:
        values: `[examples, ...]`.
        members: Which example belongs to which class, booleans `[examples, classes]`.

    Returns:
        The variance; NaN if no class has two examples.
    """
    members = np.asarray(members)[:, np.sum(members, axis=0) > 1]
    flat = np.reshape(values, [len(values), -1])
    counts = members.sum(axis=0).astype(float)
    if not len(counts):
        return float("nan")
    # Centring changes nothing but the rounding of the difference of squares below, in float32:
    # sum |x|^2 - sum_c n_c |mean_c|^2.
    flat = flat - flat.mean(axis=0)
    sums = members.T.astype(flat.dtype) @ flat
    squares = np.einsum("ij,ij->i", flat, flat).astype(float) @ members.sum(axis=1)
    means = np.square(sums.astype(float)).sum(axis=1) / counts
    return float(max(0.0, squares - means.sum()) / np.sum(counts - 1))


def _squared_distances(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Returns `|a - b|^2 = |a|^2 + |b|^2 - 2 a b` of all pairs, `[first, second]`."""
    squares = [np.einsum("ij,ij->i", part, part) for part in (first, second)]
    return np.maximum(squares[0][:, np.newaxis] + squares[1] - 2 * first @ second.T, 0)


def _moments(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the mean and the covariance, in float64."""
    features = np.asarray(features, np.float64)
    mean = features.mean(axis=0)
    centred = features - mean
    return mean, centred.T @ centred / (len(features) - 1)
