"""The compiled ops as differentiable functions, to any order.

First derivatives are compiled ops too; derivatives of those go through the reference.
"""

from collections.abc import Callable, Sequence

import tensorflow as tf

from tf_mvae.ops import custom_op, reference

__all__ = ["product", "product_sample"]


def product(
    op: custom_op.CustomOp, loc: tf.Tensor, log_variance: tf.Tensor, mask: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns what `reference.product` does."""
    return tuple(op.module.tf_mvae_gaussian_product(loc, log_variance, mask))


def product_sample(
    op: custom_op.CustomOp,
    loc: tf.Tensor,
    log_variance: tf.Tensor,
    mask: tf.Tensor,
    noise: tf.Tensor,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
    """Returns what `reference.product_sample` does."""
    return tuple(op.module.tf_mvae_gaussian_product_sample(loc, log_variance, mask, noise))


@tf.RegisterGradient("TfMvae>GaussianProduct")
def _product_gradient(op, by_loc, by_log_variance):
    loc, log_variance, mask = op.inputs
    module = custom_op.library().module
    gradient = module.tf_mvae_gaussian_product_grad(
        loc, log_variance, mask, *op.outputs, by_loc, by_log_variance
    )
    return *gradient, None


@tf.RegisterGradient("TfMvae>GaussianProductSample")
def _product_sample_gradient(op, by_z, by_kl, by_loc, by_log_variance):
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
    return *gradient, None, by_z * tf.exp(product_log_variance / 2)


@tf.RegisterGradient("TfMvae>GaussianProductGrad")
def _second_product_gradient(op, *by_gradients):
    loc, log_variance, mask, _, _, by_loc, by_log_variance = op.inputs

    def value(loc, log_variance):
        return reference.product(loc, log_variance, mask)

    by = _gradient_of_vjp(value, [loc, log_variance], [by_loc, by_log_variance], by_gradients)
    # The product, an input too, is a function of the experts, and is differentiated as that.
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
    """Differentiates the derivatives of a function by its first two inputs.

    Args:
        function: The function.
        inputs: What it is given.
        by_outputs: Derivatives of a number by what it returns.
        by_gradients: Derivatives of another number by the first one's derivatives.

    Returns:
        Derivatives of the other number by `inputs` and by `by_outputs`.
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
