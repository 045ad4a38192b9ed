"""Prints whether TensorFlow is imported, and whether it has made its devices."""

import sys

if __name__ == "__main__":
    loaded = "tensorflow" in sys.modules
    from tensorflow.python.eager import context

    print(loaded, context.context()._initialized)
