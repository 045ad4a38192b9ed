"""Fuzzes a server by its own OpenAPI description: `python -m tests.serving.fuzz [EXAMPLES]`.

schemathesis makes requests that fit the description and requests that do not, of every
route; no answer may be a failure of the server (5xx), and every status and body must be as
described. Needs the `serve-test` extra; ends with schemathesis' status.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import pathlib
import subprocess
import sys
import tempfile

from tests.serving.server_tools import save_stranger, serving

CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,"
    "response_schema_conformance,unsupported_method"
)


def main():
    examples = sys.argv[1] if len(sys.argv) > 1 else "100"
    with tempfile.TemporaryDirectory() as folder:
        base = pathlib.Path(folder) / "stranger"
        save_stranger(base / "1")
        with serving(base) as client:
            host, port = client.address
            return subprocess.call(
                [
                    str(pathlib.Path(sys.executable).with_name("schemathesis")),
                    "run",
                    f"http://{host}:{port}/openapi.json",
                    f"--checks={CHECKS}",
                    f"--max-examples={examples}",
                    "--seed=1",
                    "--workers=2",
                    "--mode=all",
                ],
                cwd=folder,
            )


if __name__ == "__main__":
    sys.exit(main())
