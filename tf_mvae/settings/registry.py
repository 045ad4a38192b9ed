"""What `--model`, `--experiment` and `--analysis` can name, known before it is imported."""

import functools
import importlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Generic, Protocol, TypeVar

from tf_mvae.errors import UserError
from tf_mvae.names import check_name
from tf_mvae.settings import source
from tf_mvae.settings.setting import Setting
from tf_mvae.settings.source import Declaration

__all__ = ["ANALYSES", "EXPERIMENTS", "MODELS", "Registered", "Registry", "shared_settings"]


class Registered(Protocol):
    """What a registry holds."""

    @property
    def name(self) -> str:
        """The name that flags have for it."""

    @property
    def description(self) -> str:
        """What it is, in a few words."""

    @property
    def settings(self) -> tuple[Setting, ...]:
        """Its settings."""


T = TypeVar("T", bound=Registered)


class Registry(Mapping[str, T], Generic[T]):
    """Things of one kind, by name; a thing is imported when it is first asked for.

    A name is one of this package's, of something that was registered in this process, of an
    installed entry point, or `package.module:name` for any other.

    Example:

    ```python
    EXPERIMENTS["digits"].load("test", None)
    ```
    """

    def __init__(self, kind: str, package: str):
        """Makes an empty registry.

        Args:
            kind: `'model'`, `'experiment'` or `'analysis'`, as the flag is called.
            package: Whose modules declare things of this kind; also the group of entry points.
        """
        self.kind, self.package = kind, package
        self._items: dict[str, T] = {}

    def add(self, item: T) -> None:
        """Registers a thing under its name."""
        self._items[item.name] = item

    def declaration(self, name: str) -> Declaration:
        """Returns what is declared under a name; nothing is imported.

        Raises:
            UserError: Nothing is.
        """
        if name in self._items:
            item = self._items[name]
            fields = frozenset(field for field, value in vars(item).items() if value)
            return Declaration(self.kind, name, "", "", item.description, item.settings, fields)
        module, colon, symbol = name.partition(":")
        if colon:
            return self._in_module(module, symbol)
        if name not in self._declared:
            for point in self._entry_points():
                if point.name == name:
                    return self._in_module(point.module, point.attr or name)
            check_name(self.kind, name, self.names(), "or package.module:name")
        return self._declared[name]

    def names(self) -> list[str]:
        """Returns the names that need no module's."""
        points = {point.name for point in self._entry_points()}
        return sorted({*self._declared, *self._items, *points})

    def own_names(self) -> list[str]:
        """Returns the names that this package declares."""
        return sorted(self._declared)

    def own(self) -> list[Declaration]:
        """Returns what this package declares, by name."""
        return [self._declared[name] for name in self.own_names()]

    def users_of(self, setting: str) -> str:
        """Returns who of this package has a setting: `--model=mvae and mvae_q`; empty: nobody."""
        return self._named([d for d in self.own() if setting in {s.name for s in d.settings}])

    def with_field(self, field: str) -> str:
        """Returns who of this package has a field (`Declaration.fields`), as `users_of` does."""
        return self._named([one for one in self.own() if field in one.fields])

    def _named(self, declared: Sequence[Declaration]) -> str:
        users = [one.name for one in declared]
        listed = " and ".join(filter(None, [", ".join(users[:-1]), *users[-1:]]))
        return f"--{self.kind}={listed}" if users else ""

    def __getitem__(self, name: str) -> T:
        if name not in self._items:
            declared = self.declaration(name)
            importlib.import_module(declared.module)
            return self._items[declared.name]
        return self._items[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def __len__(self) -> int:
        return len(self.names())

    def __contains__(self, name: Any) -> bool:
        return name in self.names()

    @functools.cached_property
    def _declared(self) -> dict[str, Declaration]:
        found = (d for m in source.modules_in(self.package) for d in source.declarations(m))
        return {one.name: one for one in found if one.kind == self.kind}

    def _entry_points(self) -> Iterable[Any]:
        import importlib.metadata  # not needed by a command whose names are this package's

        return importlib.metadata.entry_points(group=self.package)

    def _in_module(self, module: str, symbol: str) -> Declaration:
        own = [one for one in source.declarations(module) if one.kind == self.kind]
        for one in own:
            if symbol in (one.name, one.symbol):
                return one
        known = ", ".join(one.name for one in own) or "none"
        raise UserError(
            f"--{self.kind}={module}:{symbol}: {module} declares no {self.kind} {symbol!r}; it "
            f"declares {known}"
        )


MODELS: Registry[Any] = Registry("model", "tf_mvae.models")
EXPERIMENTS: Registry[Any] = Registry("experiment", "tf_mvae.experiments")
ANALYSES: Registry[Any] = Registry("analysis", "tf_mvae.evaluation")


@functools.cache
def shared_settings() -> tuple[Setting, ...]:
    """Returns the settings that every run has, whatever its model and experiment are."""
    rooms = ("tf_mvae.experiments", "tf_mvae.models", "tf_mvae.training")
    return tuple(s for room in rooms for m in source.modules_in(room) for s in source.shared(m))
