"""The configuration of a run: its settings by name, and the flagfile that records them."""

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

    Its attributes are the settings of every run, of its model and of its experiment
    (`tf_mvae.settings`). Other settings raise an error. It is immutable; `replace` returns a
    changed copy.

    Example:

    ```python
    config = RunConfig("digits", model="jmvae", alpha=0.01)
    config.batch_size, config.alpha   # 100, 0.01
    ```

    Attributes:
        experiment: Name of the experiment: data and modalities.
        model: Name of the model.
        assets_dir: Directory of files that were made from the training data, such as vocabularies.
            It belongs to the run directory: it is not a flag, nor in the flagfile.
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
        raise AttributeError(f"a RunConfig is immutable; replace({name}=...) returns a copy")

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
        """Returns the value of a setting, or `default` if the run does not have the setting.

        Args:
            name: The setting's name.
            default: The value for a setting of other models or experiments.
        """
        return self._values.get(name, default)

    def items(self) -> Iterator[tuple[Setting, Any]]:
        """Yields the run's settings with their values."""
        return ((setting, self._values[name]) for name, setting in self._settings.items())

    def replace(self, **changes: Any) -> "RunConfig":
        """Returns a copy with changed values.

        Args:
            **changes: New values by name, as for the constructor.

        Raises:
            UserError: See the constructor.
        """
        same = {name: getattr(self, name) for name in ("experiment", "model", "assets_dir")}
        return RunConfig(**{**same, **self._values, **changes})

    def check_inputs(self) -> None:
        """Checks that required settings have values, and that files exist; see `Setting`.

        Raises:
            UserError: A required setting has no value, or a file that it names is missing.
        """
        for setting, value in self.items():
            if setting.is_required and not value:
                raise UserError(f"--experiment={self.experiment} needs --{setting.name}")
            is_path = setting.must_exist and value and "://" not in value
            if is_path and not pathlib.Path(value).expanduser().exists():
                raise UserError(f"--{setting.name}={value} does not exist")

    def write(self, path: pathlib.Path) -> None:
        """Writes a flagfile with this configuration, atomically.

        Args:
            path: The file to write.
        """
        lines = [f"--experiment={self.experiment}", f"--model={self.model}"]
        lines += [f"--{s.name}={s.text(v)}" for s, v in self.items() if v not in (None, {}, ())]
        files.write_text(path, "\n".join(lines) + "\n")

    @classmethod
    def read(cls, path: pathlib.Path) -> "RunConfig":
        """Reads a flagfile of `write`; settings of other models are ignored.

        Args:
            path: The file, which an earlier version may have written.

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
            raise UserError(f"{path} is not the flagfile of a run: {error}") from error

    def differences(self, other: "RunConfig") -> list[str]:
        """Returns the flags of another configuration that differ and affect the result.

        The number of epochs may differ, unless `may_change_epochs` is False.

        Args:
            other: The configuration to compare with.

        Returns:
            Texts such as `--latent_dim=32 (was 64)`.
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
        """Whether a run can be continued with another `epochs`: no schedule depends on it."""
        return self.learning_rate_schedule != "cosine"


def _settings_of(experiment: str, model: str) -> dict[str, Setting]:
    """Returns the settings of a run by name; a model's or experiment's own ones take precedence."""
    parts = MODELS.declaration(model).settings, EXPERIMENTS.declaration(experiment).settings
    return {s.name: s for part in (shared_settings(), *parts) for s in part if s.is_recorded}


def _all_settings() -> dict[str, Setting]:
    """Returns every setting that this package declares."""
    own = (declared.settings for registry in (MODELS, EXPERIMENTS) for declared in registry.own())
    return {s.name: s for part in (*own, shared_settings()) for s in part}


def _refuse_foreign(name: str, value: Any, experiment: str, model: str) -> None:
    """Raises an error for a setting of other models or experiments, unless it has the default."""
    for registry, chosen in ((MODELS, model), (EXPERIMENTS, experiment)):
        declared = [s for one in registry.own() for s in one.settings if s.name == name]
        if value in [setting.default for setting in declared]:
            return
        if declared:
            raise UserError(
                f"--{name} is for {registry.users_of(name)}; --{registry.kind}={chosen} does not "
                "have it"
            )
    raise UserError(f"there is no setting {name!r}; `python -m tf_mvae.train --help` lists them")


def _compared(config: RunConfig) -> dict[str, Any]:
    """Returns the settings by name, without term weights of 1, which are the default."""
    settings = {s.name: v for s, v in config.items()}
    settings |= {"experiment": config.experiment, "model": config.model}
    if "term_weight" in settings:
        weights = settings["term_weight"].items()
        settings["term_weight"] = {name: weight for name, weight in weights if weight != 1}
    return settings
