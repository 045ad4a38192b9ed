"""Compares objectives with MultiVae's on shared weights, data and noise.

    python benchmarks/objective_agreement.py --peer_python=.venv-multivae/bin/python

Prints the losses of both, and the largest difference between gradients; writes MultiVae's
numbers to `tests/objectives/peer_losses.json`, which the tests compare with. The exit status
is 1 if a loss (relative) or a gradient (absolute) differs by more than 1e-4, or is not a number.
Two figures cannot be compared: MultiVae reports DReG's loss in another form, and its MoPoE is given
the samples, so that no gradient passes through them.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
from tests.objectives import shared_arrays  # noqa: E402

TOLERANCE = 1e-4
TARGET = HERE.parent / "tests" / "objectives" / "peer_losses.json"


def write_case(case: str, folder: pathlib.Path) -> None:
    """Writes what MultiVae needs to compute a case."""
    preset, arguments, present = shared_arrays.CASES[case]
    private = preset.__name__ == "MMVAEPlus"
    model, batch = shared_arrays.make(case)
    elbo = model.elbo(batch, seed=3, training=True)
    noise = np.zeros(elbo.z.shape, np.float32)
    if case.startswith(("mvtcae", "mmvae")):
        noise = (elbo.z - elbo.loc) / tf.exp(elbo.log_variance / 2)
    settings = {
        "latent": shared_arrays.LATENT,
        "private": shared_arrays.PRIVATE if private else 0,
        "arguments": arguments,
    }
    np.savez(
        folder / f"{case}.npz",
        z=elbo.z,
        noise=noise,
        present=present,
        settings=json.dumps(settings),
        **shared_arrays.arrays(private),
    )


def differences(
    case: str, loss: float, gradients: Mapping[str, np.ndarray], theirs: Mapping[str, Any]
) -> dict[str, float]:
    """Returns how far a case's loss and gradients are from MultiVae's, as far as they compare.

    Args:
        case: One of `shared_arrays.CASES`.
        loss: Ours.
        gradients: Ours, by the name of the weight.
        theirs: MultiVae's `loss` and `gradients`.
    """
    found = {}
    if shared_arrays.CASES[case][1].get("bound") != "dreg":
        found["loss"] = abs(loss - theirs["loss"]) / abs(theirs["loss"])
    if not case.startswith("mopoe"):
        apart = [
            np.abs(np.ravel(gradients[name]) - value).max()
            for name, value in theirs["gradients"].items()
            if value is not None
        ]
        found["gradients"] = float(np.max(apart))
    return found


def agree(values: Sequence[float]) -> bool:
    """Says whether no difference is above the tolerance; one that is not a number is."""
    return bool(np.max(values) <= TOLERANCE)


def main() -> int:
    """Runs the comparison; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer_python", required=True, help="Python of MultiVae's environment")
    peer = parser.parse_args().peer_python
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        for case in shared_arrays.CASES:
            write_case(case, folder)
        subprocess.run([peer, HERE / "peers" / "multivae_objectives.py", folder], check=True)
        theirs = json.loads((folder / "losses.json").read_text())
    found = []
    for case, peer_values in theirs.items():
        loss, gradients = shared_arrays.loss_and_gradients(case)
        apart = differences(case, loss, gradients, peer_values)
        found += apart.values()
        said = ", ".join(f"{what} differ by at most {value:.1e}" for what, value in apart.items())
        print(f"{case:24s} loss {loss:10.5f}, MultiVae {peer_values['loss']:10.5f}; {said}")
    TARGET.write_text(json.dumps(theirs, indent=1) + "\n")
    return int(not agree(found))


if __name__ == "__main__":
    sys.exit(main())
