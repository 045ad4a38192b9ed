"""Packages that an extra of this one brings (`pip install 'tf-mvae[EXTRA]'`)."""

import contextlib
from collections.abc import Iterator

from tf_mvae.errors import UserError

__all__ = ["needing", "not_installed"]

# Packages whose names for pip are not those for Python.
_NAMES = {"sklearn": "scikit-learn", "tensorflow_text": "tensorflow-text"}


@contextlib.contextmanager
def needing(what: str, extra: str) -> Iterator[None]:
    """Says in one line which extra is missing if an import in the block fails.

    Args:
        what: What needs the package, for the message.
        extra: The extra that brings it.

    Raises:
        UserError: A package is not installed, or has another version than the one that is needed.

    Example:

    ```python
    with needing("--analysis=translation", "translation"):
        import sacrebleu
    ```
    """
    try:
        yield
    except ImportError as error:
        module = (error.name or "").partition(".")[0]
        package = _NAMES.get(module, module) or "a package"
        if isinstance(error, ModuleNotFoundError):
            raise not_installed(what, package, extra) from error
        reason = str(error).partition("\n")[0]
        raise UserError(
            f"{what} needs {package}, which fails to import ({reason}): "
            f"pip install --upgrade 'tf-mvae[{extra}]'"
        ) from error


def not_installed(what: str, packages: str, extra: str) -> UserError:
    """Returns the error for packages that are not installed.

    Args:
        what: What needs them.
        packages: Their names.
        extra: The extra that brings them.
    """
    return UserError(
        f"{what} needs {packages}, which is not installed: pip install 'tf-mvae[{extra}]'"
    )
