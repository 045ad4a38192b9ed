"""The table of generated numbers: those not given, with statistics over samples."""

import numpy as np

from tests import tiny
from tf_mvae import MVAE, Modality, ModalityGroup, likelihoods
from tf_mvae.layers import grouped_mlp_decoder, grouped_mlp_encoder, mlp_decoder, mlp_encoder
from tf_mvae.visualization import value_table


def make_model():
    label = Modality(
        "label", likelihoods.Categorical(3), mlp_encoder([4], 3), mlp_decoder([3], [4])
    )
    pose = Modality("pose", likelihoods.Normal([2]), mlp_encoder([4]), mlp_decoder([2], [4]))
    networks = grouped_mlp_encoder([4]), grouped_mlp_decoder([], [4])
    sensors = ModalityGroup("sensors", ["heat", "wind"], likelihoods.Normal([]), *networks)
    return MVAE([label, pose, sensors], tiny.LATENT_DIM)


def rows_of(table):
    return {cells[0]: [float(c) for c in cells[-4:]] for cells in map(str.split, table)}


def test_each_number_has_its_mean_deviation_and_range():
    model = make_model()
    generated = {name: value.numpy() for name, value in model.sample(7, seed=0).items()}
    first, *lines = value_table(model, {}, generated).splitlines()
    assert first.split() == ["value", "mean", "deviation", "least", "greatest"]
    assert len({len(line) for line in [first, *lines]}) == 1
    rows = rows_of(lines)
    columns = {
        "pose[0]": generated["pose"][:, 0],
        "pose[1]": generated["pose"][:, 1],
        "heat": generated["sensors"][:, 0],
        "wind": generated["sensors"][:, 1],
    }
    assert set(rows) == set(columns)
    for name, samples in columns.items():
        figures = [np.mean(samples), np.std(samples), np.min(samples), np.max(samples)]
        np.testing.assert_allclose(rows[name], figures, rtol=1e-3)


def test_what_was_given_is_left_out():
    model = make_model()
    generated = {name: value.numpy() for name, value in model.sample(3, seed=0).items()}
    table = value_table(model, {"pose": np.zeros([1, 2]), "wind": np.zeros([1])}, generated)
    assert set(rows_of(table.splitlines()[1:])) == {"heat"}
    given = {"pose": 0, "heat": 0, "wind": 0}
    assert value_table(model, given, generated) == ""


def test_a_long_vector_is_cut_and_says_so():
    wide = Modality("wide", likelihoods.Normal([50]), mlp_encoder([4]), mlp_decoder([50], [4]))
    model = MVAE([wide], tiny.LATENT_DIM)
    generated = {name: value.numpy() for name, value in model.sample(3, seed=0).items()}
    assert value_table(model, {}, generated).splitlines()[-1] == "... and 10 more"
