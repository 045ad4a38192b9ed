"""A run of every model: its results, and that they agree."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tf_mvae  # noqa: F401  registers what a .keras file holds
from tests.training import tiny_experiment  # noqa: F401  registers the experiment
from tf_mvae.serving.export import read_meta_graph
from tf_mvae.serving.tracing import operations
from tf_mvae.training import RunConfig, load_run, train, trainer

BOTH = {"image_given_label", "label_given_image"}
# Flags of a run, and its pictures beside the curves.
RUNS = {
    "vae": ({}, {"samples", "reconstructions"}),
    "cvae": ({}, {"reconstructions", "image_given_label"}),
    "cvae_of_label": ({"model": "cvae", "modality": "label"}, {"label_given_image"}),
    "bivcca": ({}, {"samples", "reconstructions", *BOTH}),
    "jmvae": ({"alpha": 0.01}, {"samples", "reconstructions", *BOTH}),
    "telbo": ({}, {"samples", "reconstructions", *BOTH}),
    "mopoe": ({}, {"samples", "reconstructions", *BOTH}),
    "mvtcae": ({"correlation_alpha": 0.5}, {"samples", "reconstructions", *BOTH}),
    "mmvae_plus": ({"num_samples": 2, "private_dim": 2}, {"samples", "reconstructions", *BOTH}),
    "mvae_q": ({"term_weight": {"label": 0.2}}, {"samples", "reconstructions", *BOTH}),
}


# Their pictures and exports are those of another one's kind of posterior.
LONG = {"cvae_of_label", "bivcca", "telbo", "mvtcae", "mopoe", "mvae_q", "vae"}


@pytest.fixture(
    scope="module",
    params=[pytest.param(name, marks=pytest.mark.long if name in LONG else ()) for name in RUNS],
)
def finished(request, tmp_path_factory):
    """A run's directory, the run, and the names of its pictures."""
    flags, pictures = RUNS[request.param]
    flags = {"model": request.param, "learning_rate_schedule": "cosine", **flags}
    sizes = {"latent_dim": 3, "batch_size": 20}
    config = RunConfig("tiny", epochs=1, annealing_epochs=1, jit_compile=False, **sizes, **flags)
    run_dir = tmp_path_factory.mktemp("run") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer, "draw", lambda *_: {})  # the same pictures, for TensorBoard
        train(config, run_dir)
    return run_dir, load_run(run_dir), pictures


def test_a_run_leaves_its_pictures(finished):
    run_dir, run, pictures = finished
    written = {path.stem for path in (run_dir / "pictures").iterdir()}
    assert written == {"curves", *pictures}
    assert RunConfig.read(run_dir / "flags.cfg") == run.config


def test_the_models_of_a_run_agree(finished, registered_operations):
    run_dir, run, _ = finished
    model = run.model
    loaded = keras.models.load_model(run_dir / "model.keras")
    served = tf.saved_model.load(str(run_dir / "saved_model")).signatures
    (batch,) = run.batches("test", 20)
    expected = model(batch)
    tf.nest.map_structure(np.testing.assert_array_equal, loaded(batch), expected)

    x = {m.name: m.prepare(batch["x"][m.name], tf.ones([20])) for m in model.modalities}
    masks = {f"{name}_mask": tf.ones([20]) for name in x if name not in model.conditions}
    z, condition = expected["z"], {name: x[name] for name in model.conditions}
    draws = {"num_samples": tf.constant(3), "seed": tf.constant([4, 0]),
             "temperature": tf.constant(0.5)}  # fmt: skip
    posterior = model.posterior(x)
    answers = {
        "serving_default": (served["serving_default"](**x, **masks), expected),
        "serving_default_all_present": (served["serving_default_all_present"](**x), expected),
        "encode": (
            served["encode"](**x, **masks),
            {"loc": posterior.mean(), "log_variance": tf.math.log(posterior.variance())},
        ),
        "decode": (served["decode"](z=z, **condition), model.from_latent(z, given=condition)),
        "generate": (
            served["generate"](**x, **masks, **draws),
            model.generate(x, 3, seed=4, temperature=0.5),
        ),
    }
    assert ("sample" in served) != bool(condition)
    found = operations(read_meta_graph(run_dir / "saved_model").graph_def)
    assert found <= registered_operations and not found & {"EagerPyFunc", "PyFunc"}
    if not condition:
        answers["sample"] = (served["sample"](**draws), model.sample(3, seed=4, temperature=0.5))
    for name, (answer, wanted) in answers.items():
        for key, value in wanted.items():
            np.testing.assert_allclose(answer[key], value, rtol=1e-4, atol=1e-5, err_msg=name)
