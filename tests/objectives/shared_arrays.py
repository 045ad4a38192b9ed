"""Linear models of three modalities whose weights, data and noise are plain arrays.

What `tests/objectives/peer_losses.json` holds was computed from the same arrays by MultiVae
(`python benchmarks/objective_agreement.py --peer_python=…` writes it).
"""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tf_mvae import MMVAE, MVTCAE, MMVAEPlus, Modality, MoPoE, likelihoods

SIZES = {"a": 4, "b": 3, "c": 5}
LATENT, PRIVATE, ROWS, SAMPLES = 2, 3, 6, 4
COMPLETE = np.ones([ROWS, 3], np.float32)
INCOMPLETE = np.array(
    [[1, 1, 1], [1, 0, 1], [0, 1, 0], [1, 1, 0], [0, 0, 1], [1, 1, 1]], np.float32
)
# By case: the preset, its arguments, which modalities are there.
CASES: dict[str, tuple[type, dict[str, Any], np.ndarray]] = {
    "mopoe": (MoPoE, {"kl_weight": 1.0}, COMPLETE),
    "mopoe_incomplete": (MoPoE, {"kl_weight": 2.5}, INCOMPLETE),
    "mvtcae": (MVTCAE, {"alpha": 0.7, "kl_weight": 2.5}, COMPLETE),
    "mvtcae_incomplete": (MVTCAE, {"alpha": 0.7, "kl_weight": 2.5}, INCOMPLETE),
    "mmvae_iwae": (MMVAE, {"bound": "iwae", "num_samples": SAMPLES}, COMPLETE),
    "mmvae_dreg": (MMVAE, {"bound": "dreg", "num_samples": SAMPLES}, COMPLETE),
    "mmvae_dreg_incomplete": (MMVAE, {"bound": "dreg", "num_samples": SAMPLES}, INCOMPLETE),
    "mmvae_plus_iwae": (MMVAEPlus, {"bound": "iwae", "num_samples": SAMPLES}, COMPLETE),
    "mmvae_plus_dreg": (MMVAEPlus, {"bound": "dreg", "num_samples": SAMPLES}, COMPLETE),
    "mmvae_plus_incomplete": (MMVAEPlus, {"bound": "dreg", "num_samples": SAMPLES}, INCOMPLETE),
}


def arrays(private: bool) -> dict[str, np.ndarray]:
    """Returns data, and weights of linear encoders and decoders."""
    rng = np.random.default_rng(5)
    found = {}
    for name, size in SIZES.items():
        own = LATENT + (PRIVATE if private else 0)
        found[f"{name}_x"] = rng.normal(size=[ROWS, size])
        found[f"{name}_encoder"] = 0.5 * rng.normal(size=[size, 2 * own])
        found[f"{name}_encoder_bias"] = 0.3 * rng.normal(size=[2 * own])
        found[f"{name}_decoder"] = 0.7 * rng.normal(size=[own, size])
        found[f"{name}_decoder_bias"] = 0.3 * rng.normal(size=[size])
        found[f"{name}_prior"] = 0.4 * rng.normal(size=[PRIVATE])
    return {name: value.astype(np.float32) for name, value in found.items()}


def make(case: str) -> tuple[keras.Model, dict[str, Any]]:
    """Returns the model and the batch of a case."""
    preset, arguments, present = CASES[case]
    private = preset is MMVAEPlus
    values = arrays(private)
    modalities = [
        Modality(
            name,
            likelihoods.Normal([size], scale=1.0),
            keras.layers.Identity(),
            keras.layers.Dense(size),
        )
        for name, size in SIZES.items()
    ]
    sizes = {"latent_dim": LATENT, **({"private_dim": PRIVATE} if private else {})}
    model = preset(modalities, **sizes, **arguments)
    for modality in modalities:
        name = modality.name
        modality.expert_head.set_weights(
            [values[f"{name}_encoder"], values[f"{name}_encoder_bias"]]
        )
        modality.decoder.set_weights([values[f"{name}_decoder"], values[f"{name}_decoder_bias"]])
    if private:
        model.private_priors.set_weights([np.concatenate([values[f"{n}_prior"] for n in SIZES])])
    batch = {
        "x": {name: values[f"{name}_x"] for name in SIZES},
        "mask": {name: present[:, i] for i, name in enumerate(SIZES)},
    }
    return model, batch


def loss_and_gradients(case: str) -> tuple[float, dict[str, np.ndarray]]:
    """Returns the loss, and its gradients by the name of the weight."""
    model, batch = make(case)
    with tf.GradientTape() as tape:
        kl_weight = CASES[case][1].get("kl_weight", 1.0)
        loss = model.elbo(batch, kl_weight=kl_weight, seed=3, training=True).loss
    weights = {}
    for modality in model.modalities:
        weights[f"{modality.name}_encoder"] = modality.expert_head.kernel
        weights[f"{modality.name}_decoder"] = modality.decoder.kernel
    gradients = tape.gradient(loss, [weight.value for weight in weights.values()])
    return float(loss), dict(zip(weights, (g.numpy() for g in gradients), strict=True))
