"""A linear-Gaussian model, whose posteriors and likelihoods have a closed form."""

from collections.abc import Sequence

import keras
import numpy as np
import scipy.stats

from tf_mvae import MVAE, Modality, likelihoods

LATENT_DIM = 3
SCALE = 0.8


class LinearGaussian:
    """`x_i = W_i z + b_i + SCALE * noise`, with columns of W_i at right angles.

    Each modality's likelihood is then a diagonal Gaussian expert in z, and an MVAE with
    these experts infers exactly.
    """

    def __init__(self, sizes: Sequence[int] = (3, 4, 5, 3, 6), seed: int = 0):
        rng = np.random.default_rng(seed)
        self.names = [f"x{index}" for index in range(len(sizes))]
        self.weights, self.biases = {}, {}
        for name, size in zip(self.names, sizes, strict=True):
            basis, _ = np.linalg.qr(rng.normal(size=[size, LATENT_DIM]))
            self.weights[name] = basis * rng.uniform(0.5, 2, size=LATENT_DIM)
            self.biases[name] = rng.normal(size=size)

    def sample(self, number: int, seed: int = 0) -> dict[str, np.ndarray]:
        """Returns complete examples."""
        rng = np.random.default_rng(seed)
        z = rng.normal(size=[number, LATENT_DIM])
        x = {}
        for name in self.names:
            mean = z @ self.weights[name].T + self.biases[name]
            x[name] = (mean + SCALE * rng.normal(size=mean.shape)).astype(np.float32)
        return x

    def log_prob(self, x: dict[str, np.ndarray], row: int, names: Sequence[str]) -> float:
        """Returns the exact log-likelihood of some modalities of one example."""
        if not names:
            return 0.0
        weight = np.concatenate([self.weights[name] for name in names])
        covariance = weight @ weight.T + SCALE**2 * np.eye(len(weight))
        mean = np.concatenate([self.biases[name] for name in names])
        value = np.concatenate([x[name][row] for name in names]).astype(np.float64)
        return float(scipy.stats.multivariate_normal.logpdf(value, mean, covariance))

    def model(self, posterior_scale: float = 1.0) -> MVAE:
        """Returns the model; with a `posterior_scale` of 1 its experts are exact."""
        modalities = [
            Modality(
                name,
                likelihoods.Normal([len(self.biases[name])], scale=SCALE),
                keras.layers.Identity(),
                keras.layers.Dense(len(self.biases[name])),
            )
            for name in self.names
        ]
        model = MVAE(modalities, LATENT_DIM)
        for modality in modalities:
            weight, bias = self.weights[modality.name], self.biases[modality.name]
            modality.decoder.set_weights([weight.T, bias])
            squared = (weight**2).sum(0)
            to_loc = weight / squared
            kernel = np.concatenate([to_loc, np.zeros_like(to_loc)], axis=1)
            log_variance = np.log(posterior_scale**2 * SCALE**2 / squared)
            modality.expert_head.set_weights(
                [kernel, np.concatenate([-bias @ to_loc, log_variance])]
            )
        return model
