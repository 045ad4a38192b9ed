"""How a contestant of `training_step.py` is spoken to: JSON lines in, JSON lines out.

It needs nothing but Python, and runs in each contestant's own.
"""

import json
import os
import pathlib
import resource
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["peak_memory", "serve"]


def serve(make: Callable[[], Mapping[str, Callable[..., Any]]]) -> None:
    """Answers questions from the standard input until it ends.

    A question is `{"do": NAME, ...arguments}`, an answer `{"answer": ...}` or `{"error": TEXT}`.
    What libraries print goes to the standard error.

    Args:
        make: Makes the functions by name; imports and models too, so that the first answer,
            to nothing, says how long all that took: `{"seconds": ...}`.
    """
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def say(value):
        answers.write(json.dumps(value) + "\n")
        answers.flush()

    begin = time.perf_counter()
    try:
        functions = make()
    except Exception as error:  # The other end has to hear of it, whatever it is.
        traceback.print_exc()
        say({"error": _named(error)})
        return
    say({"answer": {"seconds": time.perf_counter() - begin}})
    for line in sys.stdin:
        question = json.loads(line)
        try:
            say({"answer": functions[question.pop("do")](**question)})
        except Exception as error:
            traceback.print_exc()
            say({"error": _named(error)})


def _named(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [""]
    return f"{type(error).__name__}: {lines[0]}"[:300]


def peak_memory() -> int:
    """Returns the most memory, in bytes, that this process has held.

    `getrusage` would count what the process was before it became this one.
    """
    status = pathlib.Path("/proc/self/status")
    if status.exists():
        (line,) = [x for x in status.read_text().splitlines() if x.startswith("VmHWM")]
        return 1024 * int(line.split()[1])
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
