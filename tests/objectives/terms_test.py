"""Tests of the terms of objectives."""

import types

import numpy as np
import tensorflow as tf

from tf_mvae.objectives.terms import Columns, Terms
from tf_mvae.objectives.unimodal import EachExplainsAll


def test_of_many_modalities_terms_of_single_ones_have_subsets_too():
    for number, expected in ((3, np.eye(3)), (65, np.eye(65)[:1])):
        columns = Columns([types.SimpleNamespace(name=f"m{i}", size=1) for i in range(number)])
        present = tf.ones([2, number])
        blocks = EachExplainsAll().blocks(columns, present, None)
        subset = Terms(columns, blocks, None, {}, {}).subset(present)
        np.testing.assert_array_equal(subset, np.repeat(expected[:, np.newaxis], 2, axis=1))
