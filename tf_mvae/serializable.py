"""Lets Keras find the package's classes in a saved model before their modules are imported.

`keras.models.load_model` looks classes up by their registered names, which the decorator
`keras.saving.register_keras_serializable` adds when a module is imported. `import tf_mvae`
imports no module of that kind, so that the commands' `--help` needs no TensorFlow. Instead
`register` enters a stand-in for each class, which imports the class when Keras asks for it.
"""

import functools
import importlib
import importlib.abc
import importlib.machinery
import pathlib
import re
import sys
from typing import Any

__all__ = ["classes", "register"]

_DECLARED = re.compile(
    r'^@keras\.saving\.register_keras_serializable\((?:"tf_mvae"|_PACKAGE)\)\n'
    r"(?:@.*\n)*class (\w+)",
    re.MULTILINE,
)


@functools.cache
def classes() -> dict[str, str]:
    """Returns the classes that a saved model can contain, each with its module.

    They are read from the package's source, which has the decorator at each definition.
    """
    root = pathlib.Path(__file__).parent
    found: dict[str, str] = {}
    for path in sorted(root.rglob("*.py")):
        module = ".".join([root.name, *path.relative_to(root).with_suffix("").parts])
        found |= dict.fromkeys(_DECLARED.findall(path.read_text(encoding="utf-8")), module)
    return found


def register() -> None:
    """Registers the stand-ins with Keras now, or as soon as Keras is imported."""
    keras = sys.modules.get("keras")
    if keras is not None and hasattr(keras, "saving"):
        _add_stand_ins(keras)
    else:
        sys.meta_path.insert(0, _AfterKeras())


class _StandIn:
    """What Keras needs of a registered class: `from_config`, of the class itself."""

    def __init__(self, module: str, name: str):
        self._module, self._name = module, name

    def __getattr__(self, attribute: str) -> Any:
        return getattr(self._resolve(), attribute)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._resolve()(*args, **kwargs)

    def from_config(self, config: dict[str, Any]) -> Any:
        """Makes an object from its configuration."""
        return self._resolve().from_config(config)

    def _resolve(self) -> Any:
        # The decorator in the module puts the class in the place of this object.
        return getattr(importlib.import_module(self._module), self._name)


class _AfterKeras(importlib.abc.MetaPathFinder):
    """Adds the stand-ins at the end of the import of Keras."""

    def find_spec(
        self, fullname: str, path: Any = None, target: Any = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Finds Keras as the other finders do, with one more step at the end of its loading."""
        if fullname != "keras":
            return None
        others = (finder for finder in sys.meta_path if finder is not self)
        specs = (finder.find_spec(fullname, path, target) for finder in others)
        spec = next((spec for spec in specs if spec is not None), None)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def exec_module(module: Any) -> None:
                execute(module)
                _add_stand_ins(module)
                if self in sys.meta_path:
                    sys.meta_path.remove(self)

            setattr(spec.loader, "exec_module", exec_module)  # noqa: B010
        return spec


def _add_stand_ins(keras: Any) -> None:
    registered = keras.saving.get_custom_objects()
    for name, module in classes().items():
        registered.setdefault(f"tf_mvae>{name}", _StandIn(module, name))
