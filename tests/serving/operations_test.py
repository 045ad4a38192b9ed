"""The operations that exported graphs may contain."""

import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from tests.conformance.descriptors import DESCRIPTORS
from tf_mvae import VAE, BaseVAE, Modality, UserError, likelihoods
from tf_mvae.layers import mlp_decoder, mlp_encoder
from tf_mvae.serving import export_saved_model
from tf_mvae.serving.export import read_meta_graph
from tf_mvae.serving.signatures import signatures
from tf_mvae.serving.tracing import check_stock_operations, operations

PYTHON = {"EagerPyFunc", "PyFunc", "PyFuncStateless"}


@pytest.mark.parametrize("descriptor", DESCRIPTORS, ids=lambda descriptor: descriptor.name)
def test_every_model_holds_stock_operations_only(descriptor, registered_operations):
    model = descriptor.make_model(descriptor.make_part())
    if not isinstance(model, BaseVAE):
        pytest.skip("a layer is not exported")
    # Between them they run everything: posterior, decoders, expected values, densities.
    for name in ("generate", "log_likelihood"):
        graph = signatures(model)[name].get_concrete_function().graph.as_graph_def()
        found = operations(graph)
        assert found and not found & PYTHON
        assert found <= registered_operations
        check_stock_operations(graph)


def test_a_whole_export_holds_stock_operations_only(digits_export, registered_operations):
    found = operations(read_meta_graph(digits_export).graph_def)
    assert {"VarHandleOp", "MatMul", "StatelessWhile"} & found
    assert not found & PYTHON
    assert found <= registered_operations


def test_python_in_a_likelihood_is_refused_and_nothing_is_left(tmp_path):
    def make_distribution(parameters):
        loc = tf.numpy_function(lambda value: value, [parameters], tf.float32)
        return tfp.distributions.Independent(tfp.distributions.Normal(loc, 1.0), 1)

    likelihood = likelihoods.CallableLikelihood(make_distribution, [3])
    model = VAE([Modality("thing", likelihood, mlp_encoder([4]), mlp_decoder([3], [4]))], 2)
    with pytest.raises(UserError, match="tf.py_function"):
        export_saved_model(model, tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_an_operation_of_a_library_is_refused():
    graph = tf.compat.v1.GraphDef()
    function = graph.library.function.add()
    function.signature.name = "body"
    function.node_def.add(name="one", op="MatMul")
    graph.node.add(name="call", op="body")
    check_stock_operations(graph)
    function.node_def.add(name="two", op="TfMvaeGaussianProduct")
    assert operations(graph) == {"MatMul", "TfMvaeGaussianProduct"}
    with pytest.raises(UserError, match="TfMvaeGaussianProduct"):
        check_stock_operations(graph)
