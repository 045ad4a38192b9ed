"""What XLA does with the function that is being traced, and what it need not do."""

import contextlib
from collections.abc import Iterator

import tensorflow as tf

__all__ = ["branches_without_constants", "is_compiling"]


def is_compiling() -> bool:
    """Returns whether the function being traced will be compiled by XLA.

    TensorFlow has no public function for this; TensorFlow Probability uses the same private one.

    Example:
    ```python
    from tf_mvae.ops.xla import is_compiling

    compiled = tf.function(lambda: tf.constant(is_compiling()), jit_compile=True)
    compiled(), is_compiling()  # True, False
    ```
    """
    from tensorflow.python.ops import control_flow_util

    if tf.executing_eagerly():
        return False
    graph = tf.compat.v1.get_default_graph()
    return bool(control_flow_util.GraphOrParentsInXlaContext(graph))


@contextlib.contextmanager
def branches_without_constants() -> Iterator[None]:
    """Keeps XLA from looking for constants among the inputs of branches that are traced within.

    Before XLA compiles `tf.switch_case` or its gradient it computes each of their inputs, one after
    another and by an interpreter, on made-up numbers, to see whether it is a constant: minutes for
    networks of 512 units, whose intermediate values are inputs of the gradient. The branches must
    know their shapes without that.
    """
    yield
    if not is_compiling():
        return
    from tensorflow.core.framework import attr_value_pb2

    no = attr_value_pb2.AttrValue(b=False)
    for operation in tf.compat.v1.get_default_graph().get_operations():
        if operation.type in ("Case", "StatelessCase"):
            operation._set_attr("_xla_propagate_compile_time_consts", no)
