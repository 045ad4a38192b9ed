"""A warning if the posterior has collapsed to the prior."""

from collections.abc import Mapping

from tf_mvae.training.config import RunConfig

__all__ = ["COLLAPSED_KL", "collapse_warning"]

# A KL divergence of the joint posterior from the prior, in nats, averaged over the validation
# split. It is an upper bound of the information of the latent about an example: half a nat is less
# than one bit (0.69). Trained models that impute no better than the mean of each modality had 0.0
# to 0.3.
COLLAPSED_KL = 0.5


def collapse_warning(
    config: RunConfig, metrics: Mapping[str, float], free_bits: bool = True
) -> str | None:
    """Returns a warning if the latent of a run's model has almost no information about an example.

    Args:
        config: The run's configuration. There is no warning for a run that ends before the
            annealing of the KL weight does.
        metrics: The metrics of the best checkpoint, which is exported; `val_kl` is compared with
            `COLLAPSED_KL`.
        free_bits: Whether the model's objective takes them.

    Returns:
        The warning, or None.
    """
    kl = metrics.get("val_kl")
    if kl is None or kl >= COLLAPSED_KL or config.epochs < config.annealing_epochs:
        return None
    advice = "--free_bits=0.1, more " if free_bits else "more "
    return (
        f"the posterior has collapsed: the KL divergence of the joint posterior is {kl:.3g} nats "
        f"(below {COLLAPSED_KL:g}), so that reconstructions and imputations are about the mean of "
        f"each modality; try a larger --likelihood_weight, {advice}"
        "--annealing_epochs, or for mvae a --term_weight of 0 for single modalities"
    )
