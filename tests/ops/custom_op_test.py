"""The compiled product of experts against the reference, and how it is found and chosen.

Where the library is not built (`make -C custom_ops op`) the comparisons are skipped; how its
absence is handled is tested all the same.
"""

import numpy as np
import pytest
import tensorflow as tf
from absl import logging

from tests import tiny
from tf_mvae import ProductOfExperts, UserError
from tf_mvae.ops import custom_op, gaussian_product, gaussian_product_sample, reference

TOLERANCE = {"float64": 1e-12, "float32": 1e-5}
SHAPES = [(1, 1, 1, 1), (3, 7, 2, 9), (2, 3, 1, 16), (9, 4, 19, 33), (40, 2, 65, 5), (3, 2, 200, 4)]
EMPTY = [(0, 2, 3, 4), (2, 0, 3, 4), (2, 2, 0, 4), (2, 2, 3, 0)]
SAMPLES = 2
FUNCTIONS = {"product": gaussian_product, "sample": gaussian_product_sample}

needs_library = pytest.mark.skipif(
    custom_op.library() is None, reason=f"{custom_op.status()} (make -C custom_ops op)"
)


def arguments(function, shape, dtype, seed=0, mask_dtype=np.float32):
    """Returns random arguments of one of FUNCTIONS, as constants."""
    terms, batch, experts, latent = shape
    rng = np.random.default_rng(seed)
    loc, log_variance = 2 * rng.normal(size=[2, batch, experts, latent]).astype(dtype)
    mask = rng.integers(2, size=[terms, batch, experts]).astype(mask_dtype)
    found = [loc, log_variance, mask]
    if function == "sample":
        found.append(rng.normal(size=[SAMPLES, terms, batch, latent]).astype(dtype))
    return [tf.constant(argument) for argument in found]


def differentiable(given):
    return [argument for index, argument in enumerate(given) if index != 2]


def values_and_gradients(function, given, use_custom_op, weights):
    """Returns what a function gives, and the gradients of a weighted sum of it."""
    with tf.GradientTape() as tape:
        tape.watch(differentiable(given))
        values = FUNCTIONS[function](*given, use_custom_op=use_custom_op)
        pairs = zip(values, weights, strict=True)
        total = tf.add_n([tf.reduce_sum(value * weight) for value, weight in pairs])
    return values, tape.gradient(total, differentiable(given))


def weights_like(values, seed=1):
    rng = np.random.default_rng(seed)
    return [tf.constant(rng.normal(size=value.shape).astype(value.dtype.name)) for value in values]


def uses_op(graph):
    return [node for node in graph.as_graph_def().node if node.op.startswith("TfMvae>")]


@needs_library
@pytest.mark.parametrize("mode_name", ["eager", "function"])
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("shape", SHAPES + EMPTY, ids=str)
@pytest.mark.parametrize("function", FUNCTIONS)
def test_equals_the_reference_in_values_and_gradients(function, shape, dtype, mode_name):
    given = arguments(function, shape, dtype)
    weights = weights_like(FUNCTIONS[function](*given, use_custom_op=False))
    run = tiny.MODES[mode_name](values_and_gradients)
    actual = run(function, given, True, weights)
    expected = values_and_gradients(function, given, False, weights)
    tolerance = TOLERANCE[dtype]
    for one, other in zip(tf.nest.flatten(actual), tf.nest.flatten(expected), strict=True):
        assert one.dtype == dtype and one.shape == other.shape
        scale = 1 + np.max(np.abs(other), initial=0)
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance * scale)


@needs_library
@pytest.mark.parametrize("mask_dtype", [bool, np.int32, np.float64])
def test_the_mask_may_be_of_any_type(mask_dtype):
    loc, log_variance, mask = arguments("product", (3, 4, 5, 6), "float32", mask_dtype=mask_dtype)
    actual = gaussian_product(loc, log_variance, mask, use_custom_op=True)
    expected = reference.product(loc, log_variance, tf.cast(mask, tf.bool))
    tiny.assert_close(actual, expected, 1e-5, 1e-5)


@needs_library
@pytest.mark.parametrize("dtype", [tf.bfloat16, tf.half])
def test_half_precision_is_accumulated_in_float32(dtype):
    loc, log_variance, mask = arguments("product", (3, 4, 5, 6), "float32")
    loc, log_variance = tf.cast(loc, dtype), tf.cast(log_variance, dtype)
    actual = gaussian_product(loc, log_variance, mask, use_custom_op=True)
    expected = gaussian_product(loc, log_variance, mask, use_custom_op=False)
    for one, other in zip(actual, expected, strict=True):
        assert one.dtype == dtype
        np.testing.assert_allclose(*(tf.cast(p, tf.float32) for p in (one, other)), rtol=1e-2)


@needs_library
@pytest.mark.parametrize("mode_name", ["eager", "function"])
@pytest.mark.parametrize("function", FUNCTIONS)
def test_second_derivatives_equal_the_references(function, mode_name):
    given = arguments(function, (3, 2, 4, 5), "float64")
    weights = weights_like(FUNCTIONS[function](*given, use_custom_op=False))

    def second(use_custom_op):
        with tf.GradientTape() as tape:
            tape.watch([*differentiable(given), *weights])
            _, gradients = values_and_gradients(function, given, use_custom_op, weights)
            total = tf.add_n([tf.reduce_sum(tf.sin(gradient)) for gradient in gradients])
        return tape.gradient(total, [*differentiable(given), *weights])

    run = tiny.MODES[mode_name](second)
    for one, other in zip(run(True), second(False), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-10)
        assert np.any(other)


@needs_library
def test_shapes_are_inferred_and_may_be_unknown():
    spec = tf.TensorSpec([None, None, 5])

    @tf.function(input_signature=[spec, spec, tf.TensorSpec([3, None, None])])
    def run(loc, log_variance, mask):
        product = gaussian_product(loc, log_variance, mask, use_custom_op=True)
        assert [part.shape.as_list() for part in product] == [[3, None, 5]] * 2
        return product

    assert uses_op(run.get_concrete_function().graph)
    for shape in [(3, 2, 4, 5), (3, 6, 1, 5)]:
        given = arguments("product", shape, "float32")
        tiny.assert_close(run(*given), reference.product(*given), 1e-5, 1e-5)

    @tf.function
    def sample(loc, log_variance, mask, noise):
        return gaussian_product_sample(loc, log_variance, mask, noise, use_custom_op=True)

    outputs = sample.get_concrete_function(
        tf.TensorSpec([None, 4, None]),
        tf.TensorSpec([2, None, None]),
        tf.TensorSpec([None, None, 4]),
        tf.TensorSpec([7, 3, None, 5]),
    ).structured_outputs
    shapes = [part.shape.as_list() for part in outputs]
    assert shapes == [[7, 3, 2, 5], [3, 2], [3, 2, 5], [3, 2, 5]]


def raw_arguments():
    arguments = {
        "loc": tf.zeros([5, 4, 3]),
        "log_variance": tf.zeros([5, 4, 3]),
        "mask": tf.ones([2, 5, 4]),
    }
    product = {name: tf.zeros([2, 5, 3]) for name in ("product_loc", "product_log_variance")}
    by = {f"by_{name}": value for name, value in product.items()}
    noise = {"noise": tf.zeros([1, 2, 5, 3])}
    by_samples = {"by_z": tf.zeros([1, 2, 5, 3]), "by_kl": tf.zeros([2, 5])}
    return {
        "tf_mvae_gaussian_product": arguments,
        "tf_mvae_gaussian_product_grad": arguments | product | by,
        "tf_mvae_gaussian_product_sample": arguments | noise,
        "tf_mvae_gaussian_product_sample_grad": arguments | noise | product | by_samples | by,
    }


@needs_library
@pytest.mark.parametrize("wrong_shape", [[5], [5, 4, 2], [2, 5, 3, 1], [1, 2, 6, 3]], ids=str)
@pytest.mark.parametrize(
    ("name", "argument"),
    [(name, argument) for name, given in raw_arguments().items() for argument in given],
)
def test_wrong_shapes_name_the_argument(name, argument, wrong_shape):
    given = raw_arguments()[name]
    if list(given[argument].shape) == wrong_shape:
        wrong_shape = [9, *wrong_shape]
    function = getattr(custom_op.library().module, name)
    # Of two that do not fit each other, either may be named.
    named = "loc must|mask|log_variance|noise" if argument == "loc" else argument
    named = "mask|product|noise|by_" if argument == "mask" else named
    with pytest.raises(tf.errors.InvalidArgumentError, match=named):
        function(**{**given, argument: tf.zeros(wrong_shape)})


@needs_library
def test_wrong_types_name_the_argument():
    given = raw_arguments()["tf_mvae_gaussian_product"]
    function = custom_op.library().module.tf_mvae_gaussian_product
    with pytest.raises(tf.errors.InvalidArgumentError, match="log_variance|float"):
        function(**{**given, "log_variance": tf.zeros([5, 4, 3], tf.float64)})
    with pytest.raises((tf.errors.InvalidArgumentError, tf.errors.NotFoundError), match="int32"):
        function(**{**given, "mask": tf.zeros([2, 5, 4], tf.int32)})


@needs_library
@pytest.mark.parametrize("function", FUNCTIONS)
def test_garbage_reaches_only_the_terms_that_contain_it(function):
    given = arguments(function, (4, 3, 5, 7), "float32")
    loc, log_variance, mask, *rest = (argument.numpy() for argument in given)
    mask[:, 1, 2] = 0
    mask[2, 0, 3], mask[3, 0, 3] = 1, 0
    spoilt = loc.copy()
    spoilt[1, 2] = spoilt[0, 3] = np.nan
    weights = weights_like(FUNCTIONS[function](*given, use_custom_op=False))
    values, gradients = values_and_gradients(
        function, [tf.constant(a) for a in (spoilt, log_variance, mask, *rest)], True, weights
    )
    clean, _ = values_and_gradients(
        function, [tf.constant(a) for a in (loc, log_variance, mask, *rest)], True, weights
    )
    product_loc, clean_loc = values[-2].numpy(), clean[-2].numpy()
    assert np.all(np.isnan(product_loc[2, 0]))
    contains = mask[:, :, 3].astype(bool) & (np.arange(3) == 0)
    np.testing.assert_array_equal(product_loc[~contains], clean_loc[~contains])
    assert np.all(np.isfinite(gradients[0][1])) and not np.any(gradients[0][1, 2])


@needs_library
def test_two_replicas_give_the_same():
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    given = arguments("product", (3, 4, 5, 6), "float32")
    weights = weights_like(reference.product(*given))

    @tf.function
    def run():
        return strategy.run(lambda: values_and_gradients("product", given, True, weights))

    expected = values_and_gradients("product", given, False, weights)
    for one, other in zip(tf.nest.flatten(run()), tf.nest.flatten(expected), strict=True):
        for replica in strategy.experimental_local_results(one):
            tiny.assert_close(replica, other, 1e-5, 1e-5)


@needs_library
def test_xla_and_exports_have_the_reference_by_themselves():
    given = arguments("product", (3, 4, 5, 6), "float32")

    def run():
        return gaussian_product(*given, use_custom_op=True)

    assert uses_op(tf.function(run).get_concrete_function().graph)
    compiled = tf.function(run, jit_compile=True)
    assert not uses_op(compiled.get_concrete_function().graph)
    nested = tf.function(lambda: tf.function(run)(), jit_compile=True)
    tiny.assert_close(nested(), run(), 1e-5, 1e-5)
    with custom_op.reference_only():
        assert not uses_op(tf.function(run).get_concrete_function().graph)
    assert uses_op(tf.function(run).get_concrete_function().graph)


@needs_library
def test_keras_own_export_has_none_of_our_ops(tmp_path, monkeypatch):
    monkeypatch.setenv(custom_op.SWITCH, "1")
    model = tiny.make_model()
    model(tiny.make_batch())
    signature = {
        "x": {
            name: tf.TensorSpec([None, *shape], tf.int32 if name == "label" else tf.float32)
            for name, shape in tiny.EVENT_SHAPES.items()
        }
    }
    model.export(str(tmp_path / "out"), input_signature=[signature], verbose=False)
    data = (tmp_path / "out" / "saved_model.pb").read_bytes()
    assert b"GaussianProduct" not in data and b"StatefulPartitionedCall" in data


@needs_library
@pytest.mark.parametrize("value", ["0", "1", "auto"])
def test_the_switch_and_the_argument_choose(monkeypatch, value):
    monkeypatch.setenv(custom_op.SWITCH, value)
    given = arguments("product", (3, 4, 5, 6), "float32")

    def used(function):
        return bool(uses_op(tf.function(function).get_concrete_function().graph))

    assert used(lambda: gaussian_product(*given)) == (value != "0")
    assert used(lambda: ProductOfExperts()(*given)) == (value != "0")
    for choice in (True, False):
        assert used(lambda c=choice: ProductOfExperts(use_custom_op=c)(*given)) == choice
    layer = ProductOfExperts(use_custom_op=False)
    assert ProductOfExperts.from_config(layer.get_config()).use_custom_op is False


def test_an_unknown_switch_is_refused(monkeypatch):
    monkeypatch.setenv(custom_op.SWITCH, "yes")
    with pytest.raises(UserError, match="TF_MVAE_CUSTOM_OPS.*'yes'"):
        gaussian_product(tf.zeros([1, 1, 1]), tf.zeros([1, 1, 1]), tf.ones([1, 1]))


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """Makes the loader search an empty folder."""
    monkeypatch.setattr(custom_op, "_FOLDER", tmp_path)
    monkeypatch.delenv(custom_op.SWITCH, raising=False)
    custom_op.library.cache_clear()
    yield tmp_path
    custom_op.library.cache_clear()


@pytest.mark.parametrize(
    ("file_name", "words", "level"),
    [
        (None, "not built", logging.INFO),
        ("libgaussian_product.tf1.99.so", "tf1.99.so, and this is TensorFlow", logging.WARNING),
        ("this", "cannot be loaded", logging.WARNING),
    ],
)
def test_a_missing_or_strange_library_is_one_line_and_the_reference(
    elsewhere, monkeypatch, file_name, words, level
):
    minor = ".".join(tf.__version__.split(".")[:2])
    if file_name:
        name = f"libgaussian_product.tf{minor}.so" if file_name == "this" else file_name
        (elsewhere / name).write_bytes(b"no library")
    lines = []
    for at, name in ((logging.INFO, "info"), (logging.WARNING, "warning")):
        monkeypatch.setattr(
            logging, name, lambda text, *rest, at=at: lines.append((at, text % rest))
        )
    given = arguments("product", (3, 4, 5, 6), "float32")
    for _ in range(2):
        tiny.assert_close(gaussian_product(*given), reference.product(*given), 0, 0)
    assert len(lines) == 1 and lines[0][0] == level and words in lines[0][1]
    assert words in custom_op.status()
    with pytest.raises(UserError, match="make -C custom_ops op"):
        gaussian_product(*given, use_custom_op=True)


@needs_library
def test_models_train_the_same_with_and_without(monkeypatch):
    batch = tiny.make_batch()

    def run(model):
        def gradients():
            return tiny.gradients_of(
                lambda: model.elbo(batch, seed=3, training=True).loss, model.trainable_variables
            )

        traced = tf.function(gradients)
        return traced(), bool(uses_op(traced.get_concrete_function().graph))

    results = []
    for value in ("0", "1"):
        monkeypatch.setenv(custom_op.SWITCH, value)
        model = tiny.make_model()
        model.set_weights([np.full_like(weight, 0.05) for weight in model.get_weights()])
        found, used = run(model)
        assert used == (value == "1")
        results.append(found)
    tiny.assert_close(results[1], results[0], 1e-5, 1e-5)
