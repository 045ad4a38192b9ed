"""The flags of settings: defined from their declarations, and read back."""

import os
from collections.abc import Callable, Sequence
from typing import Any

from absl import flags

from tf_mvae.errors import UserError
from tf_mvae.settings import Setting, parse_weights

__all__ = ["checked", "define", "parse", "peek", "values"]

_SETTINGS: dict[str, Setting] = {}
_DEFINE = {
    bool: flags.DEFINE_bool,
    int: flags.DEFINE_integer,
    float: flags.DEFINE_float,
    str: flags.DEFINE_string,
}
flags.disclaim_key_flags()  # they are the command's that calls `define`


def define(
    settings: Sequence[Setting],
    users_of: Callable[[str], str] = lambda name: "",
    override: bool = False,
) -> None:
    """Defines a flag for each setting.

    Args:
        settings: The settings. One that has a flag already is passed over.
        users_of: From a setting's name to who has it, for the end of the help.
        override: Whether a flag of another setting is replaced.
    """
    for setting in settings:
        known = _SETTINGS.get(setting.name)
        if known == setting or (known is not None and not override):
            continue
        _SETTINGS[setting.name] = setting
        users = users_of(setting.name)
        description = f"{setting.help} ({users})" if users else setting.help
        _define(setting, description, allow_override=override)


def _define(setting: Setting, description: str, **options: Any) -> None:
    """Defines the flag of a setting.

    Args:
        setting: The setting.
        description: The flag's help.
        **options: `allow_override` and `flag_values` of absl's functions.
    """
    default = setting.default
    if setting.choices:
        texts = [setting.text(one) for one in setting.choices]
        flags.DEFINE_enum(setting.name, setting.text(default), texts, description, **options)
    elif setting.type in _DEFINE:
        _DEFINE[setting.type](setting.name, default, description, **options)
    else:
        items = setting.text(default).split(",") if default else []
        flags.DEFINE_list(setting.name, items, description, **options)


def parse(arguments: Sequence[str], settings: Sequence[Setting]) -> dict[str, Any]:
    """Parses the flags of another command, which this process does not define.

    Args:
        arguments: The flags, without flagfiles.
        settings: The settings that the other command has flags for; the first of a name counts.

    Returns:
        The values of the flags that are given, by name; they are not checked.

    Raises:
        UserError: There is no such flag, or a value has another type.
    """
    found, known = flags.FlagValues(), {s.name: s for s in reversed(settings)}
    for setting in known.values():
        _define(setting, setting.help, flag_values=found)
    try:
        rest = found(["", *arguments])
    except flags.Error as error:
        raise UserError(str(error).splitlines()[0]) from error
    if len(rest) > 1:
        raise UserError(f"unexpected {rest[1]!r}; flags are written --name=value")
    return {n: _value(known[n], found) for n in known if found[n].present}


def peek(arguments: Sequence[str], **defaults: str) -> dict[str, str]:
    """Reads string flags, flagfiles included, before all flags are defined.

    Args:
        arguments: The command line.
        **defaults: What the flags are if they are not given.
    """
    found = flags.FlagValues()
    found.set_gnu_getopt(True)
    for name, default in defaults.items():
        flags.DEFINE_string(name, default, "", flag_values=found)
    try:
        found(list(arguments), known_only=True)
    except (flags.Error, OSError):
        return defaults  # the flags are parsed again, which says what is wrong
    return {name: found[name].value for name in defaults}


def values() -> list[tuple[Setting, Any]]:
    """Returns the settings that have flags, with the flags' values.

    Raises:
        UserError: Weights are not written as `image=1,label=50`.
    """
    return [(setting, _value(setting)) for setting in _SETTINGS.values()]


def checked(settings: Sequence[Setting]) -> dict[str, Any]:
    """Returns the checked values of settings by name; the default of one that has no flag.

    Raises:
        UserError: A value is not allowed.
    """
    values = {s.name: _value(s) if s.name in _SETTINGS else s.default for s in settings}
    return {setting.name: setting.checked(values[setting.name]) for setting in settings}


def _value(setting: Setting, found: flags.FlagValues = flags.FLAGS) -> Any:
    value = found[setting.name].value
    if setting.choices:
        return setting.parse(value)
    if setting.type is dict:
        return parse_weights(value)
    if setting.type is tuple:
        return tuple(value)
    # From wherever a run is evaluated later, its data are where they are.
    if setting.is_place and value and "://" not in value:
        return os.path.abspath(os.path.expanduser(value))
    return value
