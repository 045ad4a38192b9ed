"""MultiVae's losses on arrays that `objective_agreement.py` hands over.

Runs in MultiVae's own environment (benchmarks/README.md): reads CASE.npz files of weights,
data, noise and settings from a folder and writes `losses.json`.
"""

import json
import pathlib
import sys

import numpy as np
import torch

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import multivae_likelihood  # noqa: E402, F401  (makes torchvision importable)
from multivae.data.datasets.base import IncompleteDataset, MultimodalBaseDataset  # noqa: E402
from multivae.models import (  # noqa: E402
    MMVAE,
    MVTCAE,
    MMVAEConfig,
    MMVAEPlus,
    MMVAEPlusConfig,
    MoPoE,
    MoPoEConfig,
    MVTCAEConfig,
)
from multivae.models.base.base_utils import poe  # noqa: E402
from multivae.models.mopoe import mopoe_model  # noqa: E402
from multivae.models.mvtcae import mvtcae_model  # noqa: E402
from pythae.models.base.base_utils import ModelOutput  # noqa: E402
from pythae.models.nn.base_architectures import BaseDecoder, BaseEncoder  # noqa: E402

NAMES = ("a", "b", "c")


class Encoder(BaseEncoder):
    """A linear expert; with a private latent, of the shared one and of that."""

    def __init__(self, kernel, bias, latent, private):
        super().__init__()
        self.kernel = torch.nn.Parameter(torch.tensor(kernel))
        self.bias = torch.nn.Parameter(torch.tensor(bias))
        self.latent_dim, self.latent, self.private = latent, latent, private

    def forward(self, x: torch.Tensor) -> ModelOutput:
        """Returns the expert of `[batch, size]`."""
        loc, log_variance = (x @ self.kernel + self.bias).chunk(2, dim=-1)
        loc, log_variance = loc.clone(), log_variance.clone()  # MultiVae writes into them
        u = {"embedding": loc[:, : self.latent], "log_covariance": log_variance[:, : self.latent]}
        if not self.private:
            return ModelOutput(**u)
        w = loc[:, self.latent :], log_variance[:, self.latent :]
        return ModelOutput(**u, style_embedding=w[0], style_log_covariance=w[1])


class Decoder(BaseDecoder):
    """A linear decoder."""

    def __init__(self, kernel, bias):
        super().__init__()
        self.kernel = torch.nn.Parameter(torch.tensor(kernel))
        self.bias = torch.nn.Parameter(torch.tensor(bias))

    def forward(self, z: torch.Tensor) -> ModelOutput:
        """Returns the means of `[..., latent]`."""
        return ModelOutput(reconstruction=z @ self.kernel + self.bias)


class PaperMoPoE(MoPoE):
    """MoPoE with the paper's products; MultiVae's has a prior expert in the largest subset."""

    def _poe_fusion(self, mus, logvars):
        return poe(mus, logvars)


def make(case, given, settings) -> torch.nn.Module:
    """Returns MultiVae's model of a case, with the weights given."""
    private = settings["private"]
    encoders = {
        n: Encoder(given[f"{n}_encoder"], given[f"{n}_encoder_bias"], settings["latent"], private)
        for n in NAMES
    }
    decoders = {n: Decoder(given[f"{n}_decoder"], given[f"{n}_decoder_bias"]) for n in NAMES}
    common = {
        "n_modalities": 3,
        "latent_dim": settings["latent"],
        "input_dims": {n: tuple(given[f"{n}_x"].shape[1:]) for n in NAMES},
    }
    arguments = settings["arguments"]
    beta = arguments.get("kl_weight", 1.0)
    if case.startswith("mopoe"):
        return PaperMoPoE(MoPoEConfig(**common, beta=beta), encoders, decoders)
    if case.startswith("mvtcae"):
        config = MVTCAEConfig(**common, alpha=arguments["alpha"], beta=beta)
        return MVTCAE(config, encoders, decoders)
    importance = {
        "K": arguments["num_samples"],
        "prior_and_posterior_dist": "normal",
        "loss": arguments["bound"] + "_looser",
    }
    if case.startswith("mmvae_plus"):
        model = MMVAEPlus(
            MMVAEPlusConfig(**common, **importance, modalities_specific_dim=private),
            encoders,
            decoders,
        )
        for name in NAMES:
            model.logvars_priors[name].data = torch.tensor(given[f"{name}_prior"])[None]
        return model
    return MMVAE(MMVAEConfig(**common, **importance, learn_prior=False), encoders, decoders)


def use_noise(case, given, latent) -> None:
    """Makes MultiVae draw the noise given, in the order in which it asks."""
    z = torch.tensor(given["z"])
    if case.startswith("mopoe"):
        mopoe_model.rsample_from_gaussian = lambda *args, **kwargs: z[0, 0]
        return
    noise = torch.tensor(given["noise"])  # [sample, term, batch, latent]
    if case.startswith("mvtcae"):
        mvtcae_model.rsample_from_gaussian = lambda loc, log_variance, *rest, **kwargs: (
            loc + torch.exp(0.5 * log_variance) * noise[0, 0]
        )
        return
    queue = []
    private = (noise.shape[-1] - latent) // 3
    for term in range(3):
        queue.append(noise[:, term, :, :latent])
        if private:
            parts = noise[:, term, :, latent:].split(private, dim=-1)
            queue += [parts[term], *(parts[i] for i in range(3) if i != term)]
    queue = iter(queue)
    torch.distributions.Normal.rsample = lambda self, shape=(): self.loc + self.scale * next(queue)


def main(folder) -> None:
    """Computes every case of a folder."""
    losses = {}
    for path in sorted(pathlib.Path(folder).glob("*.npz")):
        case = path.stem
        given = dict(np.load(path))
        settings = json.loads(str(given.pop("settings")))
        model = make(case, given, settings)
        use_noise(case, given, settings["latent"])
        data = {n: torch.tensor(given[f"{n}_x"]) for n in NAMES}
        present = given["present"]
        if present.all():
            inputs = MultimodalBaseDataset(data)
        else:
            masks = {n: torch.tensor(present[:, i] > 0) for i, n in enumerate(NAMES)}
            inputs = IncompleteDataset(data, masks)
        output = model(inputs)
        loss = output.loss_sum / len(present)
        loss.backward()
        gradients = {}
        for name in NAMES:
            gradients[f"{name}_encoder"] = model.encoders[name].kernel.grad
            gradients[f"{name}_decoder"] = model.decoders[name].kernel.grad
        losses[case] = {
            "loss": loss.item(),
            "gradients": {
                name: None if g is None else g.numpy().ravel().tolist()
                for name, g in gradients.items()
            },
        }
    pathlib.Path(folder, "losses.json").write_text(json.dumps(losses))


if __name__ == "__main__":
    main(sys.argv[1])
