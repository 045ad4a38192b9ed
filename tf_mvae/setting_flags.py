"""The flags of settings: defined from their declarations, and read back."""

import os
from collections.abc import Callable, Sequence
from typing import Any

from absl import flags

from tf_mvae.settings import Setting, parse_weights

__all__ = ["checked", "define", "peek", "values"]

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
        usual = {"allow_override": True} if override else {}
        default, users = setting.default, users_of(setting.name)
        told = f"{setting.help} ({users})" if users else setting.help
        if setting.choices:
            texts = [setting.text(one) for one in setting.choices]
            default = setting.text(default)
            flags.DEFINE_enum(setting.name, default, texts, told, **usual)
        elif setting.type in _DEFINE:
            _DEFINE[setting.type](setting.name, default, told, **usual)
        else:
            items = setting.text(default).split(",") if default else []
            flags.DEFINE_list(setting.name, items, told, **usual)


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


def _value(setting: Setting) -> Any:
    value = flags.FLAGS[setting.name].value
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
