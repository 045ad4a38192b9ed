"""Declarations, read from source text: models and experiments import TensorFlow, which is slow.

What is read are the arguments of `@preset(...)`, `@analysis(...)` and `Experiment(...)`, and a
module's `SETTINGS`. They have to be literal: constants, calls of `Setting`, names of
`tf_mvae.checks`, and names of the module's own constants or of those that it imports. A test
compares what is read with what is registered when the modules are imported.
"""

import ast
import dataclasses
import functools
import importlib
import importlib.util
import pathlib
import re
from collections.abc import Iterator, Mapping
from typing import Any

from tf_mvae.errors import UserError

__all__ = ["Declaration", "declarations", "modules_in", "shared"]

# What declares a thing of a kind: a decorator, or a call whose keywords are its fields.
_DECORATORS = {"preset": "model", "analysis": "analysis"}
_CALLS = {"Experiment": "experiment"}
_WORDS = (b"@preset(", b"@analysis(", b"Experiment(", b"SETTINGS = ")
# Quick to import, and so not read but used.
_PLAIN = ("tf_mvae.settings", "tf_mvae.checks")
# A class or a function at the top of a module: its header, and its body.
_DEFINITION = re.compile(
    r"^((?:class|def) (?:[^\n]*:|[^\n]*\(\n(?:[ ][^\n]*\n)*\)[^\n]*:))(\n(?:(?:[ ][^\n]*)?\n)+)",
    re.MULTILINE,
)
_BUILTINS = {"__builtins__": {}, "float": float, "int": int, "str": str, "tuple": tuple}


@dataclasses.dataclass(frozen=True)
class Declaration:
    """Something that a flag can name.

    Attributes:
        kind: `'model'`, `'experiment'` or `'analysis'`.
        name: What the flag says.
        module: The module that declares it.
        symbol: What the module calls it; empty if it has no name there.
        description: One line; empty where there is none.
        settings: Its own settings, `Setting` objects.
        fields: Of an experiment or an analysis, the names of its fields that are not empty.
    """

    kind: str
    name: str
    module: str
    symbol: str
    description: str
    settings: tuple[Any, ...]
    fields: frozenset[str] = frozenset()


@functools.cache
def modules_in(package: str) -> tuple[str, ...]:
    """Returns the modules of a package, subpackages aside, that declare something."""
    found = []
    for path in sorted(_path(package).parent.glob("*.py")):
        text = path.read_bytes()
        if any(word in text for word in _WORDS):
            found.append(package if path.stem == "__init__" else f"{package}.{path.stem}")
    return tuple(found)


def declarations(module: str) -> list[Declaration]:
    """Returns what a module declares, in its order.

    Raises:
        UserError: There is no such module, or a declaration is not literal.
    """
    scope = _scope(module)
    return [one for node in scope.tree.body for one in _declared(node, scope)]


def shared(module: str) -> tuple[Any, ...]:
    """Returns a module's `SETTINGS`; nothing where it has none."""
    scope = _scope(module)
    return scope["SETTINGS"] if "SETTINGS" in scope.constants else ()


def _declared(node: Any, scope: "_Scope") -> Iterator[Declaration]:
    for call in getattr(node, "decorator_list", ()):
        kind = _DECORATORS.get(_called(call) or "")
        if kind is not None:
            listed = ast.copy_location(ast.Tuple(call.args, ast.Load()), call)
            name, *rest = scope.value(listed)
            fields = {k.arg: k.value for k in call.keywords}
            if kind == "analysis":
                description, settings = rest[0], scope.value_or(fields.get("settings"), ())
            else:
                description, settings = "", tuple(rest)
            yield Declaration(
                kind, name, scope.module, node.name, description, settings, _set_fields(fields)
            )
    if not isinstance(node, ast.Expr | ast.Assign):
        return
    target = node.targets[0] if isinstance(node, ast.Assign) else None
    calls: Iterator[Any] = ast.walk(node.value)
    for call in calls:
        kind = _CALLS.get(_called(call) or "")
        if kind is not None:
            fields = dict(zip(("name", "description"), call.args, strict=False))
            fields |= {k.arg: k.value for k in call.keywords}
            yield Declaration(
                kind,
                scope.value(fields["name"]),
                scope.module,
                target.id if isinstance(target, ast.Name) else "",
                scope.value_or(fields.get("description"), ""),
                scope.value_or(fields.get("settings"), ()),
                _set_fields(fields),
            )


def _set_fields(fields: Mapping[str | None, ast.expr]) -> frozenset[str]:
    """Returns the names of keyword arguments, without those that are None, False, 0 or empty."""
    empty = (
        name for name, node in fields.items() if isinstance(node, ast.Constant) and not node.value
    )
    return frozenset(filter(None, fields.keys() - {*empty}))


def _called(node: ast.AST) -> str | None:
    """Returns the last name of the function that a call calls."""
    if not isinstance(node, ast.Call):
        return None
    return getattr(node.func, "attr", getattr(node.func, "id", None))


class _Scope(Mapping):
    """The constants of a module, evaluated when they are asked for."""

    def __init__(self, module: str):
        self.module = module
        path = _path(module)
        try:
            self.tree = _parse(path.read_text(encoding="utf-8"))
        except (OSError, SyntaxError, ValueError) as error:
            raise UserError(f"{path} cannot be read: {error}") from error
        self.constants: dict[str, ast.expr] = {}
        self._imported: dict[str, tuple[str, str]] = {}
        for node in self.tree.body:
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                self.constants[node.targets[0].id] = node.value
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                for alias in node.names:
                    self._imported[alias.asname or alias.name] = (node.module, alias.name)

    def value(self, node: ast.expr) -> Any:
        """Evaluates an expression."""
        try:
            return eval(compile(ast.Expression(node), self.module, "eval"), _BUILTINS, self)
        except (NameError, TypeError, AttributeError) as error:
            raise UserError(
                f"line {node.lineno} of {self.module} declares what is not literal ({error}); "
                "write its settings with constants, Setting and tf_mvae.checks"
            ) from error

    def value_or(self, node: ast.expr | None, default: Any) -> Any:
        """Evaluates an expression, if there is one."""
        return default if node is None else self.value(node)

    def __getitem__(self, name: str) -> Any:
        if name in self.constants:
            return self.value(self.constants[name])
        module, own = self._imported[name]
        full = f"{module}.{own}"
        if full in _PLAIN:
            return importlib.import_module(full)
        if module in _PLAIN:
            return getattr(importlib.import_module(module), own)
        return _scope(module)[own]

    def __iter__(self) -> Iterator[str]:
        return iter((*self.constants, *self._imported))

    def __len__(self) -> int:
        return len(self.constants) + len(self._imported)


def _parse(text: str) -> ast.Module:
    """Parses a module, without the bodies of its functions and classes where these are found."""
    try:
        return ast.parse(_without_bodies(text))
    except SyntaxError:  # the pattern takes a body for shorter than it is
        return ast.parse(text)


def _without_bodies(text: str) -> str:
    """Leaves out the bodies of functions and classes: most of a module, and so of the time."""
    return _DEFINITION.sub(lambda found: found[1] + " ..." + "\n" * found[2].count("\n"), text)


@functools.cache
def _scope(module: str) -> _Scope:
    return _Scope(module)


def _path(module: str) -> pathlib.Path:
    """Returns a module's file; nothing is imported, packages that it is in neither.

    Raises:
        UserError: There is none.
    """
    top, *rest = module.split(".")
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):  # `__main__`, as some programs leave it
        spec = None
    if spec is None:
        raise UserError(f"there is no module {module!r} here; is {top!r} installed or on the path?")
    if not rest and spec.origin:
        return pathlib.Path(spec.origin)
    for place in spec.submodule_search_locations or ():
        base = pathlib.Path(place, *rest)
        for path in (base.with_name(f"{base.name}.py"), base / "__init__.py"):
            if path.is_file():
                return path
    raise UserError(f"there is no module {module!r}; {top!r} has none of that name")
