"""Training on several devices and processes equals that on one, except for rounding."""

import json
import os
import socket

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests import processes, tiny
from tests.training import tiny_experiment  # noqa: F401  registers the experiment
from tests.training.replicas_worker import EXPORTED, RUNS
from tf_mvae import MVAE, ModalityGroup, likelihoods
from tf_mvae.errors import UserError
from tf_mvae.layers import grouped_mlp_decoder, grouped_mlp_encoder
from tf_mvae.ops import random
from tf_mvae.training import RunConfig, make_strategy, train
from tf_mvae.training.replicas import Replicas


def spawn(names, run_dir, digits_dir, strategy="default", num_cpus=0, cluster=(), index=0):
    """Starts one process of `tests.training.replicas_worker`, which trains some of `RUNS`."""
    environment = dict(os.environ)
    if cluster:
        task = {"type": "worker", "index": index}
        environment["TF_CONFIG"] = json.dumps({"cluster": {"worker": cluster}, "task": task})
    flags = [strategy, str(num_cpus), str(run_dir), str(digits_dir), *names]
    return processes.start("-m", "tests.training.replicas_worker", *flags, env=environment)


def finish(started):
    for process in started:
        assert process.wait(timeout=300) == 0, process.stderr.read()


def free_addresses(number):
    sockets = [socket.socket() for _ in range(number)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    addresses = [f"127.0.0.1:{one.getsockname()[1]}" for one in sockets]
    for one in sockets:
        one.close()
    return addresses


def metrics(run_dir):
    rows = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    return [{name: row[name] for name in row if name != "seconds"} for row in rows]


def assert_same_curve(run_dir, reference):
    rows, expected = metrics(run_dir), metrics(reference)
    assert len(rows) == len(expected) > 0
    for row, other in zip(rows, expected, strict=True):
        assert row.keys() == other.keys()
        for name in row:
            np.testing.assert_allclose(row[name], other[name], rtol=1e-4, err_msg=name)


def weights(run_dir):
    """Returns the weights of a run's newest checkpoint by their places."""
    reader = tf.train.load_checkpoint(str(max(run_dir.glob("checkpoints/step-*")) / "variables"))
    names = sorted(n for n in reader.get_variable_to_shape_map() if n.startswith("model/"))
    assert names
    return {name: reader.get_tensor(name) for name in names}


def answer(run_dir):
    """Returns the output of the SavedModel of a run."""
    generate = tf.saved_model.load(str(run_dir / "saved_model")).signatures["generate_all_present"]
    rng = np.random.default_rng(0)
    shapes = generate.structured_input_signature[1]
    given = {"num_samples": tf.constant(3), "seed": tf.constant([1, 2]),
             "temperature": tf.constant(1.0)}  # fmt: skip
    for name, spec in shapes.items():
        if name not in given:
            value = rng.integers(2, size=[10, *spec.shape[1:]])
            given[name] = tf.cast(value, spec.dtype)
    return generate(**given)


@pytest.fixture(scope="module")
def one_process(tmp_path_factory, digits_dir):
    """Returns a folder with a run of one process on one device, made at first use."""
    folder = tmp_path_factory.mktemp("one")

    def of(name):
        if not (folder / name).exists():
            finish([spawn([name], folder, digits_dir)])
        return folder / name

    return of


def assert_same_runs(folder, one_process, names):
    for name in names:
        assert_same_curve(folder / name, one_process(name))
        tiny.assert_close(weights(folder / name), weights(one_process(name)), 1e-3, 1e-4)
    if EXPORTED in names:
        tiny.assert_close(answer(folder / EXPORTED), answer(one_process(EXPORTED)), 1e-3, 1e-4)


@pytest.mark.long
def test_a_process_of_two_devices_trains_as_one(one_process, tmp_path, digits_dir):
    """The digits, and a group of 18 attributes half of which are missing."""
    finish([spawn(RUNS, tmp_path / "mirrored", digits_dir, "mirrored", 2)])
    assert_same_runs(tmp_path / "mirrored", one_process, RUNS)


@pytest.mark.parametrize(
    ("number", "names"), [(2, ["group"]), pytest.param(4, list(RUNS), marks=pytest.mark.long)]
)
def test_processes_train_as_one(number, names, one_process, tmp_path, digits_dir):
    """With the real MultiWorkerMirroredStrategy, on loopback."""
    cluster = free_addresses(number)
    finish([  # only the chief writes: the others are given a directory that stays unused
        spawn(names, tmp_path / ("chief" if index == 0 else "nowhere"), digits_dir,
              "multi_worker", 0, cluster, index)
        for index in range(number)
    ])  # fmt: skip
    assert not (tmp_path / "nowhere").exists()
    assert_same_runs(tmp_path / "chief", one_process, names)


def make_model(optimizer=None, jit_compile=False, **kwargs):
    keras.utils.set_random_seed(3)
    model = tiny.make_model(num_random_subsets=1, num_samples=2, **kwargs)
    model.compile(optimizer() if optimizer else keras.optimizers.SGD(0.05), jit_compile=jit_compile)
    model.optimizer.build(model.trainable_variables)
    return model


def everything():
    """Returns an optimizer with all features that flags can set."""
    return keras.optimizers.LossScaleOptimizer(
        keras.optimizers.Adam(
            keras.optimizers.schedules.CosineDecay(0.0, 9, warmup_target=0.01, warmup_steps=1),
            global_clipnorm=0.5,
            use_ema=True,
            ema_momentum=0.5,
            gradient_accumulation_steps=2,
        ),
        initial_scale=8.0,
    )


@pytest.mark.parametrize(
    "kwargs",
    [
        # Statistics of replicas' parts are compared by the layer's own tests, too.
        pytest.param({"batch_norm": True}, marks=pytest.mark.long),
        {"optimizer": everything},
        {"jit_compile": True},
    ],
    ids=["batch_norm", "optimizer", "xla"],
)
def test_two_devices_train_as_one(kwargs):
    """Also if modalities are missing, one of them in all examples of a replica's part."""
    batch = tiny.make_batch()
    assert batch["mask"]["image"][:4].sum() == 0
    data = [batch] * 4
    one = make_model(**kwargs | {"jit_compile": False})
    start = [variable.numpy() for variable in one.trainable_variables]
    replicas = Replicas(make_strategy("mirrored"), lambda: make_model(**kwargs))
    batches = tiny.batches(tiny.repeat(batch, 4), 8).map(_of_8)
    replicas.fit(batches, tiny.batches(batch, 8), 0, 1, 4, [])
    for part in data:
        one.train_step(part)
    first, second = (m.variables + m.optimizer.variables for m in replicas.models)
    for variable, same, expected in zip(
        first, second, one.variables + one.optimizer.variables, strict=True
    ):
        np.testing.assert_array_equal(variable, same)
        np.testing.assert_allclose(variable, expected, rtol=1e-3, atol=1e-5)
    moved = zip(one.trainable_variables, start, strict=True)
    assert any(np.any(np.abs(v.numpy() - old) > 1e-3) for v, old in moved)


def make_group_model():
    keras.utils.set_random_seed(3)
    members = [f"a{number}" for number in range(18)]
    networks = grouped_mlp_encoder([4], num_classes=2), grouped_mlp_decoder([], [4])
    group = ModalityGroup("attributes", members, likelihoods.Bernoulli([]), *networks)
    image = tiny.make_modalities()[0]
    model = MVAE([image, group], tiny.LATENT_DIM, num_random_subsets=1, num_samples=2)
    model.compile(keras.optimizers.SGD(0.05))
    model.optimizer.build(model.trainable_variables)
    return model


def test_two_devices_train_a_group_with_missing_members_as_one():
    rng = np.random.default_rng(0)
    x = {
        "image": rng.uniform(size=[8, *tiny.EVENT_SHAPES["image"]]).astype(np.float32),
        "attributes": rng.integers(2, size=[8, 18]).astype(np.float32),
    }
    mask = {
        "image": np.array([0, 1] * 4, np.float32),
        "attributes": (rng.random([8, 18]) < 0.5).astype(np.float32),
    }
    batch = {"x": x, "mask": mask}
    one = make_group_model()
    replicas = Replicas(make_strategy("mirrored"), make_group_model)
    batches = tiny.batches(tiny.repeat(batch, 3), 8).map(_of_8)
    replicas.fit(batches, tiny.batches(batch, 8), 0, 1, 3, [])
    for _ in range(3):
        one.train_step(batch)
    first, second = (m.variables for m in replicas.models)
    for variable, same, expected in zip(first, second, one.variables, strict=True):
        np.testing.assert_array_equal(variable, same)
        np.testing.assert_allclose(variable, expected, rtol=1e-3, atol=1e-5)


def _of_8(batch):
    return tf.nest.map_structure(lambda value: tf.ensure_shape(value, [8, *value.shape[1:]]), batch)


def test_metrics_are_means_over_examples_whatever_the_batches():
    batch = tiny.make_batch(tiny.all_patterns(3)[[7, 6, 7, 1, 3, 0, 2]])  # 4 and 3 examples
    replicas = Replicas(make_strategy("mirrored"), make_model)
    found = replicas._evaluated(tiny.batches(batch, 4))
    alone = make_model()
    expected = alone.evaluate(tiny.batches(batch, 4), return_dict=True, verbose=0)
    tiny.assert_close({name: float(v) for name, v in found.items()}, expected, 1e-5, 1e-5)


def test_a_training_batch_without_equal_parts_is_refused():
    replicas = Replicas(make_strategy("mirrored"), make_model)
    batches = tiny.batches(tiny.make_batch(tiny.all_patterns(3)[:3]), 3)
    with pytest.raises(UserError, match="batch of 3 examples cannot be divided equally among 2"):
        replicas.fit(batches, batches, 0, 1, 1, [])


def test_noise_of_replicas_is_that_of_the_whole_batch():
    strategy = make_strategy("mirrored")
    whole = random.stateless_normal([2, 3, 8, 5], tf.constant([4, 7]))
    parts = strategy.run(lambda: random.batch_normal([2, 3, 4, 5], tf.constant([4, 7])))
    found = tf.concat(strategy.experimental_local_results(parts), axis=2)
    np.testing.assert_array_equal(found, whole)
    alone = random.batch_normal([2, 3, 8, 5], tf.constant([4, 7]))
    np.testing.assert_array_equal(alone, whole)


def test_batch_normalisation_over_replicas_is_not_for_xla():
    def make():
        model = tiny.make_model(batch_norm=True)
        model.compile("sgd", jit_compile=True)
        return model

    with pytest.raises(UserError, match="--jit_compile=false"):
        Replicas(make_strategy("mirrored"), make)


def test_a_batch_that_replicas_cannot_share_is_named(tmp_path):
    with pytest.raises(UserError, match=r"--batch_size=15 .* 2 replicas"):
        train(
            RunConfig("tiny", batch_size=15), tmp_path / "run", strategy=make_strategy("mirrored")
        )
    assert not (tmp_path / "run").exists()
