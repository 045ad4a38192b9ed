"""What a run computes: its settings by name, and the flagfile that keeps them."""

import pathlib
from collections.abc import Iterator
from typing import Any

from tf_mvae import files
from tf_mvae.errors import UserError
from tf_mvae.settings import EXPERIMENTS, MODELS, Setting, shared_settings
from tf_mvae.training.places import may_be_one

__all__ = ["RunConfig"]


class RunConfig:
    """A run's experiment, its model, and the values of the settings that it has.

    It has the settings that every run has, the model's own and the experiment's own, as they
    declare them (`tf_mvae.settings`), each as an attribute. Others are refused. It does not
    change; `replace` returns another.

    Example:

    ```python
    config = RunConfig("digits", model="jmvae", alpha=0.01)
    config.batch_size, config.alpha   # 100, 0.01
    ```

    Attributes:
        experiment: Name of the experiment: data and modalities.
        model: Name of the model.
        assets_dir: Where the run keeps what was made of its training data, such as
            vocabularies. No flag, and no part of the flagfile: the run directory's own.
    """

    def __init__(
        self, experiment: str, model: str = "mvae", assets_dir: str | None = None, **values: Any
    ):
        """Checks the values.

        Args:
            experiment: A name, or `package.module:name`.
            model: A name, or `package.module:name`.
            assets_dir: See the class.
            **values: By setting; default: the setting's own.

        Raises:
            UserError: There is no such experiment, model or setting, a value is not allowed,
                or a setting is another model's or experiment's.
        """
        set_ = object.__setattr__
        set_(self, "experiment", experiment)
        set_(self, "model", model)
        set_(self, "assets_dir", assets_dir)
        own = _settings_of(experiment, model)
        for name in values.keys() - own.keys():
            _refuse_foreign(name, values[name], experiment, model)
        found = {name: s.checked(values.get(name, s.default)) for name, s in own.items()}
        for name, setting in own.items():
            other = setting.excludes
            if other and found[name] is not None and found[other] is not None:
                raise UserError(f"give one of --{other} and --{name}")
        set_(self, "_settings", own)
        set_(self, "_values", found)

    def __getattr__(self, name: str) -> Any:
        values = self.__dict__.get("_values", {})
        if name not in values:
            raise AttributeError(f"a run of this experiment and model has no setting {name!r}")
        return values[name]

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"a RunConfig does not change; replace({name}=...) returns another")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, RunConfig):
            return NotImplemented
        return all(value == vars(other)[name] for name, value in vars(self).items())

    __hash__ = None

    def __repr__(self) -> str:
        changed = {s.name: v for s, v in self.items() if v != s.default}
        words = [f"{name}={value!r}" for name, value in changed.items()]
        return f"RunConfig({', '.join([repr(self.experiment), repr(self.model), *words])})"

    def get(self, name: str, default: Any = None) -> Any:
        """Returns a setting's value, the default if the run has no such setting."""
        return self._values.get(name, default)

    def items(self) -> Iterator[tuple[Setting, Any]]:
        """Yields the run's settings with their values."""
        return ((setting, self._values[name]) for name, setting in self._settings.items())

    def replace(self, **changes: Any) -> "RunConfig":
        """Returns a configuration with other values.

        Raises:
            UserError: See the constructor.
        """
        same = {name: getattr(self, name) for name in ("experiment", "model", "assets_dir")}
        return RunConfig(**{**same, **self._values, **changes})

    def check_inputs(self) -> None:
        """Refuses a configuration without what training needs; see `Setting`.

        Raises:
            UserError: A required setting has no value, or a file that it names is not there.
        """
        for setting, value in self.items():
            if setting.is_required and not value:
                raise UserError(f"--experiment={self.experiment} needs --{setting.name}")
            is_path = setting.must_exist and value and "://" not in value
            if is_path and not pathlib.Path(value).expanduser().exists():
                raise UserError(f"--{setting.name}={value} does not exist")

    def write(self, path: pathlib.Path) -> None:
        """Writes a flagfile that gives this configuration again, whole or not at all."""
        lines = [f"--experiment={self.experiment}", f"--model={self.model}"]
        lines += [f"--{s.name}={s.text(v)}" for s, v in self.items() if v not in (None, {}, ())]
        files.write_text(path, "\n".join(lines) + "\n")

    @classmethod
    def read(cls, path: pathlib.Path) -> "RunConfig":
        """Reads what `write` wrote, or an earlier version: that kept other models' settings, too.

        Raises:
            UserError: The file is missing or damaged.
        """
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
            texts = dict(line.removeprefix("--").split("=", 1) for line in lines)
            named = {k: texts.pop(k) for k in ("experiment", "model") if k in texts}
            own = _settings_of(**{"model": "mvae", **named})
            known = _all_settings() | own
            values = {name: known[name].parse(text) for name, text in texts.items()}
            return cls(**named, **{name: values[name] for name in values.keys() & own.keys()})
        except OSError as error:
            raise UserError(f"{path} cannot be read: {error.strerror}") from error
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"{path} is no run's flagfile: {error}") from error

    def differences(self, other: "RunConfig") -> list[str]:
        """Names the flags in which another configuration computes something else.

        A run may go on for another number of epochs, unless `may_change_epochs` is False.
        """
        own, others = _compared(self), _compared(other)
        found = []
        for name in own.keys() & others.keys():  # of other models and experiments
            setting, was, now = self._settings.get(name), own[name], others[name]
            if was == now or (name == "epochs" and self.may_change_epochs):
                continue
            if setting and (setting.is_free or (setting.is_place and may_be_one(was, now))):
                continue
            text = setting.text if setting else str
            found.append(f"--{name}={text(now)} (was {text(was) or 'omitted'})")
        return sorted(found)

    @property
    def may_change_epochs(self) -> bool:
        """Whether no schedule depends on the number of epochs."""
        return self.learning_rate_schedule != "cosine"


def _settings_of(experiment: str, model: str) -> dict[str, Setting]:
    """Returns the settings of a run; those of its own parts go before others of their name."""
    parts = MODELS.declaration(model).settings, EXPERIMENTS.declaration(experiment).settings
    return {s.name: s for part in (shared_settings(), *parts) for s in part if s.is_recorded}


def _all_settings() -> dict[str, Setting]:
    """Returns every setting that this package declares."""
    own = (declared.settings for registry in (MODELS, EXPERIMENTS) for declared in registry.own())
    return {s.name: s for part in (*own, shared_settings()) for s in part}


def _refuse_foreign(name: str, value: Any, experiment: str, model: str) -> None:
    """Refuses a setting that the run would ignore, unless its value is the default."""
    for registry, chosen in ((MODELS, model), (EXPERIMENTS, experiment)):
        declared = [s for one in registry.own() for s in one.settings if s.name == name]
        if value in [setting.default for setting in declared]:
            return
        if declared:
            raise UserError(
                f"--{name} is for {registry.users_of(name)}; --{registry.kind}={chosen} has no use "
                "for it"
            )
    raise UserError(f"there is no setting {name!r}")


def _compared(config: RunConfig) -> dict[str, Any]:
    """Returns the settings without weights that change nothing."""
    settings = {s.name: v for s, v in config.items()}
    settings |= {"experiment": config.experiment, "model": config.model}
    if "term_weight" in settings:
        weights = settings["term_weight"].items()
        settings["term_weight"] = {name: weight for name, weight in weights if weight != 1}
    return settings
