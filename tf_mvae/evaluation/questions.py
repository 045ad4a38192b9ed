"""Which log-likelihood to estimate: of which modalities, given which others."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import tensorflow as tf

from tf_mvae.errors import UserError
from tf_mvae.modality import Modality
from tf_mvae.models import BaseVAE

__all__ = ["Question", "check_known", "check_question", "default_questions", "masks_of"]

_FEW = 3


class Question(NamedTuple):
    """One log-likelihood to estimate: `log p(x_target | x_given)`.

    Modalities, groups and members of groups are named.

    Attributes:
        target: The target's names.
        given: The names of what is given; empty for a marginal or joint likelihood.
        proposal: The names that the proposal `q(z | ...)` is conditional on. None: the default of
            `tf_mvae.evaluation.ImportanceSampler`; empty: the prior.
        given_proposal: None: a conditional likelihood is estimated with the same samples for
            numerator and denominator. Otherwise it is the difference of `log p(x_target, x_given)`
            and `log p(x_given)` from separate samples, and these are the names that the latter's
            proposal is conditional on.

    Example:
    ```python
    from tf_mvae.evaluation import Question

    str(Question(("image",), given=("label",)))  # "log p(image | label)"
    ```
    """

    target: tuple[str, ...]
    given: tuple[str, ...] = ()
    proposal: tuple[str, ...] | None = None
    given_proposal: tuple[str, ...] | None = None

    def __str__(self) -> str:
        """Returns a formula such as `log p(image | label)`, and proposals that are no defaults."""
        given = f" | {', '.join(self.given)}" if self.given else ""
        proposal = ""
        if self.proposal is not None and set(self.proposal) != {*self.target, *self.given}:
            proposal = f", z from {_density(self.proposal)}"
        if self.given_proposal is not None and set(self.given_proposal) != set(self.given):
            separate = _density(self.given_proposal)
            proposal += f", z of log p({', '.join(self.given)}) from {separate}"
        return f"log p({', '.join(self.target)}{given}){proposal}"


def default_questions(model: BaseVAE) -> list[Question]:
    """Returns the log-likelihoods that are estimated by default.

    For up to three modalities these are each one alone, all together, and each given all others.
    For more modalities: the first alone, all together, and the first given all others. For a model
    with conditions: its targets given these.

    Args:
        model: The model.
    """
    targets = [modality.name for modality in model.targets]
    if model.conditions:
        return [Question(tuple(targets), model.conditions)]
    asked = targets if len(targets) <= _FEW else targets[:1]
    questions = [Question((name,)) for name in asked]
    if len(targets) > 1:
        questions.append(Question(tuple(targets)))
        for name in asked:
            others = tuple(other for other in targets if other != name)
            questions.append(Question((name,), others))
    return questions


def check_question(
    model: BaseVAE, target: Sequence[str], given: Sequence[str] | None = None
) -> None:
    """Checks the names of `log p(target)` or `log p(target | given)`.

    Args:
        model: The model.
        target: Names of modalities, groups or members of groups.
        given: Names of modalities, groups or members of groups; None or empty: no condition.

    Raises:
        UserError: The target is empty, the model does not generate it, a name is unknown, target
            and given overlap, or the model has conditions and others are given.
    """
    if not target:
        raise UserError("target must name at least one modality")
    check_known("target", target, model.targets)
    if not given:
        return
    check_known("given", given, model.modalities)
    columns = [
        {c for m in model.modalities for c in m.column_names if {m.name, c} & set(names)}
        for names in (target, given)
    ]
    both = sorted(columns[0] & columns[1])
    if both:
        raise UserError(f"target and given must not overlap; {', '.join(both)} is in both")
    if model.conditions and set(given) != set(model.conditions):
        names = ", ".join(modality.name for modality in model.targets)
        raise UserError(
            f"this model has {names} given {', '.join(model.conditions)} only, not given "
            f"{', '.join(given)}"
        )


def check_known(what: str, names: Sequence[str], modalities: Sequence[Modality]) -> None:
    """Checks that names are those of modalities, groups or members of groups.

    Args:
        what: The argument's name, for the message.
        names: The names.
        modalities: The modalities that may be named.

    Raises:
        UserError: `names` is a string, or a name is unknown.
    """
    if isinstance(names, str):
        raise UserError(f"{what} is a list of names, not {names!r}")
    known = list(dict.fromkeys(n for m in modalities for n in (m.name, *m.column_names)))
    unknown = [name for name in names if name not in known]
    if unknown:
        raise UserError(f"{what} names {unknown[0]!r}; there are {', '.join(known)}")


def masks_of(
    mask: Mapping[str, tf.Tensor], names: Sequence[str], modalities: Sequence[Modality]
) -> dict[str, tf.Tensor]:
    """Returns masks that are 0 for all modalities and members but those named.

    Args:
        mask: Masks by modality.
        names: Names of modalities, groups or members of groups.
        modalities: The modalities.
    """
    masks = {}
    for modality in modalities:
        chosen = float(modality.name in names)
        if modality.mask_shape and not chosen:
            chosen = tf.constant([float(member in names) for member in modality.column_names])
        masks[modality.name] = mask[modality.name] * chosen
    return masks


def _density(names: Sequence[str]) -> str:
    return f"q(z | {', '.join(names)})" if names else "p(z)"
