"""Tests that pytest runs, with the Python packages that are installed."""

def python_test(name, src, srcs = [], deps = [], data = [], **kwargs):
    """A py_test of one file.

    Args:
      name: the target.
      src: the file with tests.
      srcs: other files of its package that it imports.
      deps: py_library targets.
      data: files that it reads.
      **kwargs: as py_test's.
    """
    native.py_test(
        name = name,
        srcs = ["//third_party/bazel:run_pytest.py", src] + srcs,
        main = "//third_party/bazel:run_pytest.py",
        args = ["$(rootpath %s)" % src],
        data = data + [src, "//:pyproject.toml"],
        python_version = "PY3",
        # A runner that makes __init__.py files of its own would hide packages elsewhere.
        legacy_create_init = 0,
        deps = deps,
        **kwargs
    )
