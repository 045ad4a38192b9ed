"""One setting: its name, type, default, help and check."""

import dataclasses
from collections.abc import Callable
from typing import Any

from tf_mvae.errors import UserError
from tf_mvae.names import check_name

__all__ = ["Names", "Setting", "Weights", "parse_weights"]

Names = tuple[str, ...]
Weights = dict[str, float]


@dataclasses.dataclass(frozen=True)
class Setting:
    """A setting, declared once.

    Example:

    ```python
    Setting("alpha", 0.1, "Weight of the divergences.", checks.non_negative).parse("0.01")
    ```

    Attributes:
        name: Its name, and that of its flag.
        default: Its default, whose type is the type of the setting: a bool, an int, a float, a
            string, a tuple of names, or weights by name (a dict).
        help: A description of one or two sentences.
        check: A function of `--name` and a value that returns the value, or raises a `UserError`.
            See `tf_mvae.checks`.
        kind: The type, if the default is None (no value).
        choices: The only values, if they are few.
        argument: The name of the model's argument; default: the name of the setting. Empty: it is
            not an argument of the model, but of the run.
        excludes: A setting that cannot be given together with this one.
        is_place: Whether it is a path on this machine. It is kept as an absolute path, and is not
            part of a model card.
        is_required: Whether training needs a value; this is checked before TensorFlow is imported.
        must_exist: Whether the file or directory has to exist for training, unless it is a URL.
        is_free: Whether a run may be continued with another value, because results do not depend on
            it.
        is_recorded: Whether a run records it; settings of a single process are not recorded.
    """

    name: str
    default: Any
    help: str
    check: Callable[[str, Any], Any] | None = None
    kind: type | None = None
    choices: tuple[Any, ...] = ()
    argument: str | None = None
    excludes: str | None = None
    is_place: bool = False
    is_required: bool = False
    must_exist: bool = False
    is_free: bool = False
    is_recorded: bool = True

    @property
    def type(self) -> type:
        """The type of its values: bool, int, float, str, tuple (names) or dict (weights)."""
        return self.kind or type(self.default)

    def checked(self, value: Any) -> Any:
        """Returns a value that is allowed.

        Raises:
            UserError: It is not.
        """
        if self.choices:
            if value not in self.choices:
                check_name(self.name, self.text(value), [self.text(one) for one in self.choices])
            return value
        if value is None:
            if self.default is not None:
                raise UserError(f"--{self.name} needs a value")
            return None
        if self.type is dict:
            return {k: self._number(f"--{self.name}", v, f" of {k!r}") for k, v in value.items()}
        if self.type is tuple:
            return tuple(value)
        return self._number(f"--{self.name}", value)

    def _number(self, name: str, value: Any, part: str = "") -> Any:
        return value if self.check is None else self.check(name + part, value)

    def text(self, value: Any) -> str:
        """Returns a value in the form of a flag: `image=1.0,label=50.0`, `en,vi`, `true`."""
        if isinstance(value, dict):
            return ",".join(f"{name}={number!r}" for name, number in value.items())
        if isinstance(value, tuple):
            return ",".join(value)
        if isinstance(value, bool):
            return str(value).lower()
        return str(value)

    def parse(self, text: str) -> Any:
        """Parses a text, without checking the value.

        Raises:
            ValueError: It means none of this type.
        """
        if self.choices:
            return {self.text(one): one for one in self.choices}.get(text, text)
        if self.type is tuple:
            return tuple(text.split(",")) if text else ()
        if self.type is dict:
            return parse_weights(text.split(",")) if text else {}
        if self.type is bool:
            if text not in ("true", "false"):
                raise ValueError(f"--{self.name} is true or false, not {text!r}")
            return text == "true"
        return self.type(text)


def parse_weights(items: list[str]) -> Weights:
    """Reads `['image=1', 'label=50']`.

    Raises:
        UserError: An item is not of this form, or a weight is negative or no number.
    """
    weights = {}
    for item in items:
        name, equals, number = item.partition("=")
        try:
            weights[name.strip()] = float(number)
        except ValueError:
            equals = ""
        if not equals or not 0 <= weights[name.strip()] < float("inf"):
            raise UserError(f"weights are written image=1,label=50 (0 or more); {item!r} is not")
    return weights
