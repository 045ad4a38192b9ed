"""Code knows at tracing time whether XLA will compile it."""

import pytest
import tensorflow as tf

from tests import tiny
from tf_mvae.ops import xla


@pytest.mark.parametrize("mode_name", tiny.MODES)
def test_only_what_xla_compiles_is_said_to_be_compiled(mode_name):
    found = tiny.MODES[mode_name](lambda: tf.constant(xla.is_compiling()))()
    assert bool(found) == (mode_name == "xla")
    nested = tiny.MODES[mode_name](lambda: tf.function(lambda: tf.constant(xla.is_compiling()))())
    assert bool(nested()) == (mode_name == "xla")


def test_xla_looks_for_no_constants_in_branches_of_a_training_step():
    """It took minutes to do so for a model of examples with missing parts."""
    model, batch = tiny.make_model(), tf.nest.map_structure(tf.constant, tiny.make_batch())
    model.compile("adam")
    model.expect({name: [1.0, 1, 0, 0, 0, 0, 0, 0] for name in tiny.NAMES})
    step = tf.function(model.train_step, jit_compile=True)
    graph = step.get_concrete_function(batch).graph
    branches = [one for one in graph.get_operations() if one.type in ("Case", "StatelessCase")]
    assert len(branches) == 6  # of three modalities, and of their gradients
    for one in branches:
        assert not one.get_attr("_xla_propagate_compile_time_consts")
