"""Gradients of the compiled ops, to any order.

First derivatives are compiled ops too. Second and higher derivatives are those of the reference in
TensorFlow's own operations (`tf_mvae.ops.reference`).
"""

from collections.abc import Callable, Sequence

import tensorflow as tf

from tf_mvae.ops import custom_op, reference

__all__ = ["product", "product_sample"]


def product(
    op: custom_op.CustomOp, loc: tf.Tensor, log_variance: tf.Tensor, mask: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Computes `reference.product` by the compiled op.

    Args:
        op: The library.
        loc: Means of the experts, `[batch, modality, latent]`.
        log_variance: Logarithms of their variances, `[batch, modality, latent]`.
        mask: Which subset contains which expert, `[term, batch, modality]`.

    Returns:
        `(loc, log_variance)` of the products, `[term, batch, latent]` each.
    """
    return tuple(op.module.tf_mvae_gaussian_product(loc, log_variance, mask))


def product_sample(
    op: custom_op.CustomOp,
    loc: tf.Tensor,
    log_variance: tf.Tensor,
    mask: tf.Tensor,
    noise: tf.Tensor,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
    """Computes `reference.product_sample` by the compiled op.

    Args:
        op: The library.
        loc: See `product`.
        log_variance: See `product`.
        mask: See `product`.
        noise: Standard normal numbers, `[sample, term, batch, latent]`.

    Returns:
        `(z, kl, loc, log_variance)`: `[sample, term, batch, latent]`, `[term, batch]` and twice
        `[term, batch, latent]`.
    """
    return tuple(op.module.tf_mvae_gaussian_product_sample(loc, log_variance, mask, noise))


@tf.RegisterGradient("TfMvae>GaussianProduct")
def _product_gradient(op, by_loc, by_log_variance):
    """Returns derivatives by loc and log_variance; the mask has none."""
    loc, log_variance, mask = op.inputs
    module = custom_op.library().module
    gradient = module.tf_mvae_gaussian_product_grad(
        loc, log_variance, mask, *op.outputs, by_loc, by_log_variance
    )
    return *gradient, None


@tf.RegisterGradient("TfMvae>GaussianProductSample")
def _product_sample_gradient(op, by_z, by_kl, by_loc, by_log_variance):
    """Returns derivatives by loc, log_variance and noise; the mask has none."""
    loc, log_variance, mask, noise = op.inputs
    _, _, product_loc, product_log_variance = op.outputs
    module = custom_op.library().module
    gradient = module.tf_mvae_gaussian_product_sample_grad(
        loc,
        log_variance,
        mask,
        noise,
        product_loc,
        product_log_variance,
        by_z,
        by_kl,
        by_loc,
        by_log_variance,
    )
    # dz / dnoise is the product's standard deviation.
    return *gradient, None, by_z * tf.exp(product_log_variance / 2)


@tf.RegisterGradient("TfMvae>GaussianProductGrad")
def _second_product_gradient(op, *by_gradients):
    loc, log_variance, mask, _, _, by_loc, by_log_variance = op.inputs

    def value(loc, log_variance):
        return reference.product(loc, log_variance, mask)

    by = _gradient_of_vjp(value, [loc, log_variance], [by_loc, by_log_variance], by_gradients)
    # The op also takes the products as inputs. They are functions of the experts, so their
    # derivative is part of those by loc and log_variance.
    return by[0], by[1], None, None, None, by[2], by[3]


@tf.RegisterGradient("TfMvae>GaussianProductSampleGrad")
def _second_product_sample_gradient(op, *by_gradients):
    loc, log_variance, mask, noise, _, _, *by_outputs = op.inputs

    def value(loc, log_variance, noise):
        return reference.product_sample(loc, log_variance, mask, noise)

    by = _gradient_of_vjp(value, [loc, log_variance, noise], by_outputs, by_gradients)
    return by[0], by[1], None, by[2], None, None, *by[3:]


def _gradient_of_vjp(
    function: Callable[..., Sequence[tf.Tensor]],
    inputs: list[tf.Tensor],
    by_outputs: list[tf.Tensor],
    by_gradients: Sequence[tf.Tensor],
) -> list[tf.Tensor]:
    """Differentiates the vector-Jacobian product of a function, for second derivatives.

    For a function `f(inputs)`, the first gradients are `g = by_outputs J`, with the Jacobian J of f
    by its first two inputs. This returns the gradients of `sum(by_gradients g)`.

    Args:
        function: The function f.
        inputs: Its arguments.
        by_outputs: The derivatives of a first scalar by the outputs of f.
        by_gradients: The derivatives of a second scalar by g.

    Returns:
        The derivatives of the second scalar by `inputs` and by `by_outputs`.
    """
    sources = [*inputs, *by_outputs]
    with tf.GradientTape() as outer:
        outer.watch(sources)
        with tf.GradientTape() as inner:
            inner.watch(inputs)
            outputs = function(*inputs)
        gradients = inner.gradient(outputs, inputs[:2], output_gradients=by_outputs)
    return outer.gradient(
        gradients,
        sources,
        output_gradients=list(by_gradients),
        unconnected_gradients=tf.UnconnectedGradients.ZERO,
    )
