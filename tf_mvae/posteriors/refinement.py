"""Posteriors that are fitted to each example, from what an encoder says of it."""

from collections.abc import Callable

import keras
import tensorflow as tf

from tf_mvae.errors import UserError
from tf_mvae.ops import random
from tf_mvae.posteriors.gaussian import DiagonalGaussian
from tf_mvae.posteriors.posterior import Posterior

__all__ = ["STEPS", "refined"]

STEPS = 200
_RATE = 0.1  # Adam's, in units of the latent; it falls to 0 along half a cosine
_PAIRS = 4  # of samples, each with its mirror image
# Adam's decay rates and epsilon. It is written out here: Keras' optimizers keep their moments in
# variables, which a function that is exported, of any number of examples, cannot have.
_FIRST, _SECOND, _TINY = 0.9, 0.99, 1e-8


def refined(
    posterior: Posterior,
    log_likelihood: Callable[[tf.Tensor], tf.Tensor],
    steps: int = STEPS,
) -> DiagonalGaussian:
    """Returns the Gaussian of each example that maximises its own ELBO.

        max over q of  E_{z ~ q} [ log p(x | z) ] - KL(q || N(0, I)),   q = N(loc, diag(s^2))

    by `steps` of Adam from the encoder's posterior (Kim et al., *Semi-amortized variational
    autoencoders*, ICML 2018, where it is a part of training too). An encoder that was trained with
    few examples, or that sees gaps it did not see in training, is far from this optimum. If
    `log p(x | z)` is quadratic in z, the mean is the exact posterior's. The samples are the same
    ones for each example, so that its result does not depend on the others.

    Args:
        posterior: The encoder's, `[batch]`.
        log_likelihood: `log p(x | z)` of what is observed, `[sample, batch]`, of z
            `[sample, batch, latent]`.
        steps: How many.

    Returns:
        `[batch]`.

    Raises:
        UserError: The posterior is not a diagonal Gaussian.

    Example:

    ```python
    prior = DiagonalGaussian(tf.zeros([4, 2]), tf.zeros([4, 2]))
    refined(prior, lambda z: -tf.reduce_sum((z - 1) ** 2, -1)).loc  # 2 / 3
    ```
    """
    if not isinstance(posterior, DiagonalGaussian):
        raise UserError(
            "latents='refined' is for models whose q(z | S) is one Gaussian; that of this model is "
            f"a {type(posterior).__name__}"
        )
    schedule = keras.optimizers.schedules.CosineDecay(_RATE, steps)
    half = [_PAIRS, 1, posterior.loc.shape[-1]]

    def gradients(step: tf.Tensor, loc: tf.Tensor, log_variance: tf.Tensor) -> list[tf.Tensor]:
        noise = random.stateless_normal(half, tf.stack([step, 0]))
        noise = tf.concat([noise, -noise], 0)  # their mean is 0, as that of the density
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([loc, log_variance])
            z = loc + tf.exp(log_variance / 2) * noise
            bound = tf.reduce_mean(log_likelihood(z), 0)
            bound -= DiagonalGaussian(loc, log_variance).kl_to_prior()
        return tape.gradient(bound, [loc, log_variance])

    def body(step: tf.Tensor, values: tuple, first: tuple, second: tuple) -> tuple:
        found = gradients(step, *values)
        number = tf.cast(step, tf.float32)
        first = tuple(_FIRST * m + (1 - _FIRST) * g for m, g in zip(first, found, strict=True))
        second = tuple(
            _SECOND * v + (1 - _SECOND) * g**2 for v, g in zip(second, found, strict=True)
        )
        rate = schedule(step) * tf.sqrt(1 - _SECOND ** (number + 1)) / (1 - _FIRST ** (number + 1))
        moved = (
            value + rate * m / (tf.sqrt(v) + _TINY)
            for value, m, v in zip(values, first, second, strict=True)
        )
        return step + 1, tuple(moved), first, second

    zeros = tuple(tf.zeros_like(part) for part in posterior)
    start = (tf.constant(0), tuple(posterior), zeros, zeros)
    _, values, _, _ = tf.while_loop(lambda step, *_: step < steps, body, start)
    return DiagonalGaussian(*values)
