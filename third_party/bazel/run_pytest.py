"""Runs the test file that is named first, as Bazel starts one, from the workspace's root."""

import os
import pathlib
import sys

import pytest


def main() -> int:
    """Returns pytest's status; what is skipped counts as passed, an empty file does not."""
    root = pathlib.Path(os.environ["TEST_SRCDIR"]) / os.environ["TEST_WORKSPACE"]
    os.chdir(root)
    sys.path.insert(0, str(root))
    report = os.environ.get("XML_OUTPUT_FILE")
    return pytest.main(
        [sys.argv[1], "-p", "no:cacheprovider", "--rootdir", str(root)]
        + ([f"--junitxml={report}"] if report else [])
        + sys.argv[2:]
    )


if __name__ == "__main__":
    sys.exit(main())
