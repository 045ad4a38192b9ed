"""Covariates: inputs that every example has and that are not modelled, such as a site or an age."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from tf_mvae import checks
from tf_mvae.distributions.likelihoods import Categorical, Gamma, Likelihood, Normal
from tf_mvae.errors import UserError
from tf_mvae.modality import Modality
from tf_mvae.modality_checks import check_name

__all__ = ["Covariate", "SizeFactor", "apart", "as_numbers", "check_covariates", "size_factors"]


@keras.saving.register_keras_serializable("tf_mvae")
class Covariate:
    """A number, several numbers or a class that is given with every example.

        p(x | c) = integral of p(z) prod_i p(x_i | z, c) dz,   q(z | S, c)

    (Sohn, Lee and Yan, NeurIPS 2015; for batches of cells Lopez et al., Nature Methods 2018.)
    All covariates c are inputs of every encoder and decoder; the prior `p(z) = N(0, I)` does not
    depend on them. In a batch a covariate stands next to the modalities, under its name in `"x"`:
    `[batch, *shape]` numbers, or `[batch]` classes from 0 on. It has no mask, since it is never
    missing.

    Networks see classes one-hot and numbers as they are: bring numbers near 1.

    Attributes:
        name: Its name.
        likelihood: Describes the data; it is never evaluated.
        is_binary: Whether its numbers lie between 0 and 1.
        is_network_input: Whether networks see it.

    Example:

    ```python
    model = MVAE(modalities, latent_dim=8, covariates=[Covariate("site", 3), Covariate("age")])
    model.compile(keras.optimizers.Adam(1e-3))
    model.fit({"x": {"scan": scans, "blood": blood, "site": sites, "age": ages}})
    model.generate({"scan": scans, "site": sites, "age": ages})["blood"]
    ```
    """

    # The attributes of a modality that functions of batches use.
    role = "covariate"
    is_network_input = True
    element_mask = False
    mask_shape: tuple[int, ...] = ()
    given_mask_shape: tuple[int, ...] = ()

    def __init__(
        self,
        name: str,
        num_classes: int | None = None,
        shape: Sequence[int] = (),
        class_names: Sequence[str] | None = None,
        is_binary: bool = False,
    ):
        """Describes a covariate.

        Args:
            name: Letters, digits and underscores.
            num_classes: The number of classes; None: it is a number.
            shape: Of numbers, the shape of one example; `()` is one number.
            class_names: Of classes, their names, in order; default: their numbers.
            is_binary: Whether the numbers lie between 0 and 1, as those of a yes or no.

        Raises:
            UserError: A name or a size does not fit, or classes have a shape.
        """
        try:
            check_name("covariate", name)
            self.likelihood = self._range(num_classes, shape, class_names)
        except ValueError as error:
            raise UserError(str(error)) from None
        self.name = name
        self.is_binary = is_binary
        if is_binary:
            if num_classes is not None:
                raise UserError("a covariate has classes (num_classes) or is_binary, not both")
            self.likelihood.low, self.likelihood.high = 0.0, 1.0

    def _range(
        self, num_classes: int | None, shape: Sequence[int], class_names: Sequence[str] | None
    ) -> Likelihood:
        if num_classes is None:
            if class_names is not None:
                raise UserError("class_names are for classes: give num_classes, too")
            return Normal(checks.shape("shape", shape), scale=None)
        if tuple(shape):
            raise UserError("a covariate has classes (num_classes) or numbers (shape), not both")
        return Categorical(num_classes, class_names)

    @property
    def column_names(self) -> tuple[str, ...]:
        """Its name."""
        return (self.name,)

    @property
    def width(self) -> int:
        """The size of its encoding, an input of networks."""
        if self.likelihood.is_categorical:
            return self.likelihood.num_classes
        return math.prod(self.likelihood.event_shape)

    def as_numbers(self, value: Any) -> tf.Tensor:
        """Returns its encoding, an input of networks, float32 `[batch, width]`.

        Args:
            value: `[batch, *shape]`, or classes `[batch]`.
        """
        value = tf.convert_to_tensor(value)
        if self.likelihood.is_categorical:
            return tf.one_hot(tf.cast(value, tf.int32), self.width)
        return tf.reshape(tf.cast(value, tf.float32), [-1, self.width])  # uint8 is no image here

    def __repr__(self) -> str:
        """Describes it."""
        return f"{type(self).__name__}({self.name!r}, {self.likelihood.describe_range()})"

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor arguments of this covariate."""
        if self.likelihood.is_categorical:
            return {"name": self.name, **self.likelihood.get_config()}
        binary = {"is_binary": True} if self.is_binary else {}
        return {"name": self.name, "shape": list(self.likelihood.event_shape), **binary}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Covariate":
        """Creates a covariate from the result of `get_config`."""
        return cls(**config)


@keras.saving.register_keras_serializable("tf_mvae")
class SizeFactor(Covariate):
    """The observed size of an example, which multiplies the means of its counts.

        E[x | z, c] = size * rate(z, c)

    (Lopez et al., Nature Methods 2018: the number of molecules of a cell.) Networks do not get it
    as an input. Modalities of counts name it as their `size_factor`. Divide sizes by their mean:
    rates are then of the order of the counts.

    Example:

    ```python
    rna = Modality("rna", likelihoods.NegativeBinomial([2000]), size_factor="depth")
    model = MVAE([rna], latent_dim=8, covariates=[SizeFactor("depth")])
    ```
    """

    is_network_input = False

    def __init__(self, name: str):
        """Describes a size factor: one number above 0 an example.

        Args:
            name: Letters, digits and underscores.

        Raises:
            UserError: The name does not fit.
        """
        super().__init__(name)

    def _range(self, num_classes, shape, class_names):
        return Gamma(())

    def get_config(self) -> dict[str, Any]:
        """See `Covariate.get_config`."""
        return {"name": self.name}


def check_covariates(
    covariates: Any, modalities: Sequence[Modality], made_by: str
) -> list[Covariate]:
    """Returns the covariates of a model.

    Args:
        covariates: The covariates that a user passed.
        modalities: The model's.
        made_by: The model's class, for messages.

    Raises:
        UserError: They are no list of covariates, a name is taken, or a modality has a size factor
            that is not among them.
    """
    if isinstance(covariates, Covariate | str) or not isinstance(covariates, Sequence):
        raise UserError(
            f"{made_by}: covariates must be a list of tf_mvae.Covariate; it is {covariates!r}"
        )
    for one in covariates:
        if not isinstance(one, Covariate):
            raise UserError(
                f"{made_by}: covariates must be tf_mvae.Covariate objects; one is {one!r}"
            )
    taken = [name for m in modalities for name in {m.name, *m.column_names}]
    names = [one.name for one in covariates]
    for name in names:
        if name in taken or names.count(name) > 1:
            raise UserError(f"{made_by}: two modalities or covariates are called {name!r}")
    sizes = {one.name for one in covariates if isinstance(one, SizeFactor)}
    for modality in modalities:
        if modality.size_factor is not None and modality.size_factor not in sizes:
            raise UserError(
                f"modality {modality.name!r} has the size factor {modality.size_factor!r}; give "
                f"the model covariates=[tf_mvae.SizeFactor({modality.size_factor!r})]"
            )
    return list(covariates)


def apart(
    inputs: Sequence[Modality | Covariate],
) -> tuple[list[Modality], list[Covariate]]:
    """Takes a model's inputs apart."""
    covariates = [one for one in inputs if isinstance(one, Covariate)]
    return [one for one in inputs if not isinstance(one, Covariate)], covariates


def as_numbers(covariates: Sequence[Covariate], given: Mapping[str, Any]) -> tf.Tensor | None:
    """Returns the encoded covariates, inputs of networks, `[batch, width]`; None if there are none.

    Args:
        covariates: The model's.
        given: Their values by name, `[batch, *shape]`; other names may be there.

    Raises:
        UserError: One is not given.
    """
    for one in covariates:
        if one.name not in given:
            raise UserError(
                f"covariate {one.name!r} is not given; it has to be, whatever is asked of the model"
            )
    parts = [one.as_numbers(given[one.name]) for one in covariates if one.is_network_input]
    return tf.concat(parts, axis=-1) if parts else None


def size_factors(covariates: Sequence[Covariate], given: Mapping[str, Any], name: str) -> tf.Tensor:
    """Returns the logarithms of a size factor, `[batch, 1]`; see `as_numbers`."""
    (own,) = (one for one in covariates if one.name == name)
    return tf.math.log(own.as_numbers(given[name]))
