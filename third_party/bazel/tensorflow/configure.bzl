"""A repository with the TensorFlow that is installed for python3.

`TF_MVAE_PYTHON` names another interpreter. It runs the Python tests too, with all that is
installed for it.
"""

_ASK = """
import os, sys
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import tensorflow as tf
print("ANSWER", tf.sysconfig.get_include())
print("ANSWER", tf.sysconfig.get_lib())
print("ANSWER", ".".join(tf.__version__.split(".")[:2]))
print("ANSWER", sys.executable)
for flag in tf.sysconfig.get_compile_flags():
    if not flag.startswith("-I"):
        print("ANSWER", flag)
"""

_BUILD = """
load("@bazel_tools//tools/python:toolchain.bzl", "py_runtime_pair")

package(default_visibility = ["//visibility:public"])

# Headers as a system's, for they do not compile without warnings.
cc_library(
    name = "tensorflow",
    srcs = [{libraries}],
    hdrs = glob(["include/**/*.h", "include/**/*.hpp", "include/**/*.inc", "include/Eigen/**",
                 "include/unsupported/Eigen/**"]),
    defines = [{defines}],
    includes = ["include"],
)

py_runtime(
    name = "python3",
    interpreter_path = "{python}",
    python_version = "PY3",
)

py_runtime_pair(
    name = "python_pair",
    py3_runtime = ":python3",
)

toolchain(
    name = "python_toolchain",
    toolchain = ":python_pair",
    toolchain_type = "@bazel_tools//tools/python:toolchain_type",
)
"""

def _impl(context):
    name = context.os.environ.get("TF_MVAE_PYTHON", "python3")
    python = context.which(name) if "/" not in name else name
    if python == None:
        fail("there is no %s on the path" % name)
    result = context.execute([python, "-c", _ASK], timeout = 120)
    if result.return_code != 0:
        fail("%s has no TensorFlow; set TF_MVAE_PYTHON to one that has: %s" %
             (python, result.stderr.strip().split("\n")[-1]))
    answers = [
        line[len("ANSWER "):]
        for line in result.stdout.split("\n")
        if line.startswith("ANSWER ")
    ]
    include, lib, minor, executable = answers[:4]
    context.symlink(include, "include")
    library = "libtensorflow_framework.so.2"
    context.symlink(lib + "/" + library, library)
    defines = [flag[len("-D"):] for flag in answers[4:] if flag.startswith("-D")]
    context.file("BUILD", _BUILD.format(
        libraries = repr(library),
        defines = ", ".join([repr(define) for define in defines]),
        python = executable,
    ))
    context.file("version.bzl", "TF_MINOR = %r\n" % minor)

tensorflow_configure = repository_rule(
    implementation = _impl,
    environ = ["PATH", "TF_MVAE_PYTHON"],
    local = True,
)
