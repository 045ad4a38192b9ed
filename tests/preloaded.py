"""What the processes of `tests.processes` begin with. No command: its flags are its own."""

import keras  # noqa: F401
import tensorflow  # noqa: F401
import tensorflow_datasets  # noqa: F401
import tensorflow_probability  # noqa: F401

import tf_mvae.evaluation
import tf_mvae.serving
import tf_mvae.training
import tf_mvae.visualization  # noqa: F401
