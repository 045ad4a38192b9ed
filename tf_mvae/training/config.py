"""The settings of a run, and the flagfile that keeps them."""

import dataclasses
import pathlib
import re
import typing
from typing import Any, Literal

from tf_mvae import files
from tf_mvae.errors import UserError
from tf_mvae.names import BOUNDS, MODELS, check_name

Compilation = bool | Literal["auto"]

__all__ = ["LEARNING_RATE_SCHEDULES", "MODELS", "PRECISIONS", "RunConfig", "data_name"]

LEARNING_RATE_SCHEDULES = ("constant", "cosine")
# Flags that do not change what is computed: where things lie, and how many steps are a program.
_FREE = ("data_dir", "assets_dir", "steps_per_execution")
PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """Everything that decides what a run computes. Each field is a flag of `tf_mvae.train`.

    Attributes:
        experiment: Name of the experiment: data and modalities.
        model: Name of the model.
        data_dir: Where TFDS keeps data; TFDS's own default where None.
        latent_dim: Size of the latent.
        likelihood_weight: By modality, weight in the terms that contain it; 1 where left out.
        cross_weight: By modality, weight in the terms that do not; its likelihood weight
            where left out. 0 is the paper's objective.
        term_weight: By modality, weight of the ELBO of it alone, and under `everything` of
            the ELBO of all together; 1 where left out, but that a new run has
            `tf_mvae.models.default_term_weight` filled in.
        modality: What a vae models, and a cvae generates; the experiment's first modality
            where None.
        alignment_weight: The weight of divergences between the posterior of everything and those
            of its subsets, which replace the subsets' own ELBOs; 0 is none.
        correlation_alpha: An mvtcae's weight of the divergences from its unimodal posteriors.
        bound: What an mmvae maximises; see `tf_mvae.objectives.StratifiedBound`.
        private_dim: Size of each modality's own latent (mmvae_plus).
        alpha: A jmvae's weight of the divergences from its unimodal posteriors.
        free_bits: Nats of each latent dimension's divergence that training charges whether
            they are used or not (Kingma et al., 2016); 0 is none.
        num_random_subsets: The paper's k.
        subset_distribution: How random subsets are drawn.
        num_samples: Samples of the latent for each term of a step.
        epochs: Passes over the training split.
        annealing_epochs: Passes over which the KL weight rises from 0 to 1.
        batch_size: Examples a step.
        learning_rate: Adam's.
        learning_rate_schedule: `'constant'`, or `'cosine'`: it falls to 0 over the run along
            half a cosine.
        shuffle_buffer: Examples held for shuffling.
        input_streams: Into how many streams the training split is cut, each read and
            shuffled by itself; a process reads those that have its rows of a batch. A run
            depends on their number, and not on that of the processes.
        seed: Of weights, order, subsets and noise.
        jit_compile: Whether XLA compiles the step; `"auto"` where a new run is to measure
            which way is quicker.
        steps_per_execution: Steps that are one program where XLA compiles; the next fewer that
            divide an epoch, if these do not.
        mixed_precision: Type in which networks compute, by Keras' dtype policy; weights,
            densities and sums are float32 with each.
        gradient_accumulation_steps: Batches whose gradients are averaged for one update.
        clip_norm: Bound of the norm of all gradients together; 0 is none.
        ema: Decay, a batch, of the moving average of the weights that is evaluated and
            exported; 0 is none.
        warmup_steps: Batches over which the learning rate rises from 0.
        paired_fraction: Share of the examples that stay whole; of the others each keeps
            one modality, the same one throughout (`tf_mvae.data.pairing.paired_masks`).
            All stay whole where None.
        paired_examples: The same as a number, of the training split.
        paired_share: Share of each batch that is made of whole examples, which then come
            round more often than others; a fair share where None.
        missing_rate: By modality, the share of examples that lack it, at random.
        drop_incomplete: Whether training leaves out examples that lack a modality. An epoch
            has the same number of steps, so that the others come round more often.
        self_training: By class modality, the probability above which the model's own guess
            is a target where an example lacks the class; none where left out.
        self_training_weight: What a guess counts, where a class that is there counts 1.
        self_training_start: Steps before that begins.
        dataset_dir: A prepared TFDS directory to read instead of the experiment's own data
            set (celeba, celeba19, celeba_transformations).
        attributes: The attributes to model, or `all`, of which a run keeps the names; the
            paper's where empty (celeba, celeba19).
        absent_attributes: Whether attributes that the data set lacks are masked out
            (celeba19); an error otherwise.
        num_modalities: How many sensors there are (sensors).
        transformations: The modalities; those that the data set has where empty
            (celeba_transformations).
        absent_segmentation: Whether the segmentation is masked out if the data set has no
            mask (celeba_transformations).
        mask_feature: The data set's feature that is the segmentation; see
            `tf_mvae.data.segmentation.mask_maker` (celeba_transformations).
        mask_values: Which of its numbers are inside; all but 0 where empty
            (celeba_transformations).
        languages: The languages, a modality each (translation).
        vocabulary_size: The most sub-words of a language, the symbols among them (translation).
        bucket_batches: Batches that are made together, of sequences of like length; 0, and
            every batch is of chance and as long as `max_length` (translation).
        max_length: The most sub-words of a sentence, its end among them (translation).
        word_dropout: Share of words that training hides from the decoder (translation).
        table: The file of the rows (table).
        schema: The file of their schema; inferred if None (table).
        element_dropout: The largest fraction of a row's cells that training hides from an
            encoder (table).
        assets_dir: Where the run keeps what was made of its training data, such as
            vocabularies. No flag, and no part of the flagfile: the run directory's own.
    """

    experiment: str
    model: str = "mvae"
    data_dir: str | None = None
    latent_dim: int = 64
    likelihood_weight: dict[str, float] = dataclasses.field(default_factory=dict)
    cross_weight: dict[str, float] = dataclasses.field(default_factory=dict)
    term_weight: dict[str, float] = dataclasses.field(default_factory=dict)
    modality: str | None = None
    alpha: float = 0.1
    alignment_weight: float = 0.0
    correlation_alpha: float = 0.9
    bound: str = "dreg"
    private_dim: int = 32
    free_bits: float = 0.0
    num_random_subsets: int = 0
    subset_distribution: str = "uniform_sizes"
    num_samples: int = 1
    epochs: int = 20
    annealing_epochs: int = 10
    batch_size: int = 100
    learning_rate: float = 1e-3
    learning_rate_schedule: str = "constant"
    shuffle_buffer: int = 100_000
    input_streams: int = 1
    seed: int = 0
    jit_compile: Compilation = True
    steps_per_execution: int = 1
    mixed_precision: str = "float32"
    gradient_accumulation_steps: int = 1
    clip_norm: float = 0.0
    ema: float = 0.0
    warmup_steps: int = 0
    paired_fraction: float | None = None
    paired_examples: int | None = None
    paired_share: float | None = None
    missing_rate: dict[str, float] = dataclasses.field(default_factory=dict)
    drop_incomplete: bool = False
    self_training: dict[str, float] = dataclasses.field(default_factory=dict)
    self_training_weight: float = 1.0
    self_training_start: int = 1000
    dataset_dir: str | None = None
    attributes: tuple[str, ...] = ()
    absent_attributes: bool = False
    num_modalities: int = 10
    transformations: tuple[str, ...] = ()
    absent_segmentation: bool = False
    mask_feature: str | None = None
    mask_values: tuple[str, ...] = ()
    languages: tuple[str, ...] = ("en", "vi")
    vocabulary_size: int = 4000
    bucket_batches: int = 0
    max_length: int = 32
    word_dropout: float = 0.0
    table: str | None = None
    schema: str | None = None
    element_dropout: float = 0.5
    assets_dir: str | None = None

    def __post_init__(self):
        """Checks the numbers."""
        for name in (
            "latent_dim",
            "num_samples",
            "epochs",
            "batch_size",
            "shuffle_buffer",
            "input_streams",
            "num_modalities",
            "private_dim",
            "gradient_accumulation_steps",
            "steps_per_execution",
            "vocabulary_size",
            "max_length",
        ):
            if getattr(self, name) < 1:
                raise UserError(f"--{name} must be at least 1; it is {getattr(self, name)}")
        for name in (
            "annealing_epochs",
            "num_random_subsets",
            "seed",
            "warmup_steps",
            "self_training_start",
            "bucket_batches",
        ):
            if getattr(self, name) < 0:
                raise UserError(f"--{name} must not be negative; it is {getattr(self, name)}")
        for name in ("alpha", "alignment_weight", "free_bits"):
            if not getattr(self, name) >= 0:
                raise UserError(f"--{name} must not be negative; it is {getattr(self, name)}")
        if not 0 < self.self_training_weight <= 1:
            raise UserError(
                f"--self_training_weight must be in (0, 1]; it is {self.self_training_weight}"
            )
        if self.jit_compile not in (True, False, "auto"):
            raise UserError(f"--jit_compile is true, false or auto; it is {self.jit_compile}")
        if not self.learning_rate > 0:
            raise UserError(f"--learning_rate must be positive; it is {self.learning_rate}")
        if not 0 <= self.clip_norm < float("inf"):
            raise UserError(f"--clip_norm must be positive, or 0; it is {self.clip_norm}")
        if not 0 <= self.ema < 1:
            raise UserError(f"--ema must be below 1 (0.999, say), or 0; it is {self.ema}")
        for name in (
            "paired_fraction",
            "paired_share",
            "word_dropout",
            "correlation_alpha",
            "element_dropout",
        ):
            if getattr(self, name) is not None and not 0 <= getattr(self, name) <= 1:
                raise UserError(f"--{name} is 0 to 1; it is {getattr(self, name)}")
        if self.paired_fraction is not None and self.paired_examples is not None:
            raise UserError("give one of --paired_fraction and --paired_examples")
        for name, rate in self.missing_rate.items():
            if rate > 1:
                raise UserError(f"--missing_rate is 0 to 1; for {name!r} it is {rate}")
        for name, known in (
            ("model", MODELS),
            ("bound", BOUNDS),
            ("learning_rate_schedule", LEARNING_RATE_SCHEDULES),
            ("mixed_precision", PRECISIONS),
        ):
            check_name(name, getattr(self, name), known)

    def write(self, path: pathlib.Path) -> None:
        """Writes a flagfile that gives this configuration again, whole or not at all."""
        lines = [f"--{name}={_to_text(value)}" for name, value in self._given().items()]
        files.write_text(path, "\n".join(lines) + "\n")

    @classmethod
    def read(cls, path: pathlib.Path) -> "RunConfig":
        """Reads what `write` wrote.

        Raises:
            UserError: The file is missing or damaged.
        """
        kinds = typing.get_type_hints(cls)
        values = {}
        try:
            for line in path.read_text(encoding="utf-8").splitlines():
                name, _, text = line.removeprefix("--").partition("=")
                values[name] = _from_text(text, kinds[name])
            return cls(**values)
        except OSError as error:
            raise UserError(f"{path} cannot be read: {error.strerror}") from error
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"{path} is no run's flagfile: {error}") from error

    def differences(self, other: "RunConfig") -> list[str]:
        """Names the flags in which another configuration computes something else.

        A run may go on for another number of epochs, unless `may_change_epochs` is False.
        """
        own, others = _compared(self), _compared(other)
        return [
            f"--{name}={_to_text(others[name])} (was {_to_text(own[name]) or 'left out'})"
            for name in own
            if own[name] != others[name]
            and name not in _FREE
            and not (name == "epochs" and self.may_change_epochs)
            and not (name == "dataset_dir" and may_be_one(own[name], others[name]))
        ]

    def _given(self) -> dict[str, Any]:
        empty = (None, {}, ())
        values = {k: v for k, v in dataclasses.asdict(self).items() if v not in empty}
        values.pop("assets_dir", None)
        return values

    @property
    def may_change_epochs(self) -> bool:
        """Whether no schedule depends on the number of epochs."""
        return self.learning_rate_schedule != "cosine"

    @property
    def is_incomplete(self) -> bool:
        """Whether anything is taken away from the training data."""
        fraction, examples = self.paired_fraction, self.paired_examples
        return fraction is not None or examples is not None or bool(self.missing_rate)


def _compared(config: RunConfig) -> dict[str, Any]:
    """Returns the settings without weights that change nothing."""
    settings = dataclasses.asdict(config)
    weights = settings["term_weight"].items()
    return settings | {"term_weight": {name: weight for name, weight in weights if weight != 1}}


def data_name(directory: str) -> str:
    """Returns what a data set is called wherever it lies: NAME/VERSION in TFDS's way, or NAME.

    Of a relative path of less than that it is empty.
    """
    parts = pathlib.PurePath(directory).parts
    if not re.fullmatch(r"\d+\.\d+\.\d+", "".join(parts[-1:])):
        return "".join(parts[-1:])
    return "/".join(parts[-2:]) if len(parts) > 1 else ""


def may_be_one(one: str | None, other: str | None) -> bool:
    """Says whether two directories may hold one data set, of which one was moved."""
    if one is None or other is None:
        return one is other
    names = {data_name(one), data_name(other)} - {""}
    return len(names) < 2


def _to_text(value: Any) -> str:
    if isinstance(value, dict):
        return ",".join(f"{name}={number!r}" for name, number in value.items())
    if isinstance(value, tuple):
        return ",".join(value)
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)


def _from_text(text: str, kind: Any) -> Any:
    if kind == tuple[str, ...]:
        return tuple(text.split(","))
    if kind == dict[str, float]:
        return parse_weights(text.split(","))
    if kind == Compilation and text == "auto":
        return text
    kind = next((option for option in typing.get_args(kind) if option in (bool, int, float)), kind)
    if kind is bool:
        return {"true": True, "false": False}[text]
    return kind(text) if kind in (int, float) else text


def parse_weights(items: list[str]) -> dict[str, float]:
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
