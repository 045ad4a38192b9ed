"""Noticing that a posterior has collapsed to the prior."""

from collections.abc import Mapping

from tf_mvae.training.config import RunConfig

__all__ = ["COLLAPSED_KL", "collapse_warning"]

# In nats, of the joint posterior from the prior, the mean over the validation split. It bounds
# what the latent says about an example: half a nat is less than one fair yes-or-no question
# (0.69). Trained models that impute no better than the mean of each modality had 0.0 to 0.3.
COLLAPSED_KL = 0.5


def collapse_warning(config: RunConfig, metrics: Mapping[str, float]) -> str | None:
    """Returns a warning if the latent of a run's model says next to nothing about an example.

    Args:
        config: The run's configuration. A run that ends before the KL weight is 1 gets no
            warning.
        metrics: Those of the best checkpoint, the one that is exported; `val_kl` is compared
            with `COLLAPSED_KL`.
    """
    kl = metrics.get("val_kl")
    if kl is None or kl >= COLLAPSED_KL or config.epochs < config.annealing_epochs:
        return None
    return (
        f"the posterior has collapsed: the KL divergence of the joint posterior is {kl:.3g} nats "
        f"(below {COLLAPSED_KL:g}), so that reconstructions and imputations are about the mean of "
        "each modality; try a larger --likelihood_weight, --free_bits=0.1, more "
        "--annealing_epochs, or for mvae a --term_weight of 0 for single modalities"
    )
