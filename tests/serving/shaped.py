"""Models in the shapes of the experiments, with small networks and weights as they start."""

from tf_mvae import MVAE, Modality, likelihoods
from tf_mvae.layers import conv_decoder, conv_encoder, mlp_decoder, mlp_encoder

__all__ = ["digits_shaped", "emoji_shaped"]


def digits_shaped() -> MVAE:
    """Returns a model of a 28 x 28 image and one of ten labels."""
    image, label = likelihoods.Bernoulli([28, 28, 1]), likelihoods.Categorical(10)
    return MVAE(
        [
            Modality("image", image, mlp_encoder([8]), mlp_decoder([28, 28, 1], [8])),
            Modality("label", label, mlp_encoder([8], 10), mlp_decoder([10], [8])),
        ],
        latent_dim=4,
    )


def emoji_shaped() -> MVAE:
    """Returns a model of a 64 x 64 colour image, convolutional, and 25 attributes."""
    image = likelihoods.Bernoulli([64, 64, 3])
    networks = conv_encoder([4, 8], 8), conv_decoder([64, 64, 3], [8, 4], 8)
    attributes = [
        Modality(
            f"attribute_{i}", likelihoods.Bernoulli([]), mlp_encoder([4]), mlp_decoder([], [4])
        )
        for i in range(25)
    ]
    return MVAE([Modality("image", image, *networks), *attributes], latent_dim=4)
