"""Batches of sequences of similar length: contents, order and padding."""

import numpy as np
import pytest
import tensorflow as tf

from tests import tiny
from tests.training import tiny_experiment  # noqa: F401  registers the experiment
from tf_mvae import MVAE, Modality, likelihoods
from tf_mvae.data import Split, training_batches
from tf_mvae.data.buckets import Buckets
from tf_mvae.data.sharding import Part
from tf_mvae.data.strata import Stratum
from tf_mvae.errors import UserError
from tf_mvae.layers import RecurrentDecoder, RecurrentEncoder
from tf_mvae.ops.tokens import END
from tf_mvae.training import RunConfig
from tf_mvae.training.checkpoints import Position
from tf_mvae.training.feeding import Feed

NUMBER, LENGTH, BATCH = 106, 20, 5
BUCKETS = Buckets(("one", "other"), batches=4)


def sentences(seed):
    """Rows of words, an end and padding; the first is all words, without an end."""
    rng = np.random.default_rng(seed)
    rows = np.zeros([NUMBER, LENGTH], np.int32)
    for row, length in zip(rows, rng.integers(1, LENGTH, NUMBER), strict=True):
        row[: length - 1] = rng.integers(3, 9, length - 1)
        row[length - 1] = END
    rows[0] = 3
    return rows


ONE, OTHER = sentences(0), sentences(1)
HAS = np.random.default_rng(2).integers(0, 2, NUMBER).astype(np.float32)


def make_split():
    # Where the other is missing garbage stands, which is long and does not count.
    other = np.where(HAS[:, np.newaxis] > 0, OTHER, 7)
    x = {"one": ONE, "other": other, "place": np.arange(NUMBER, dtype=np.int32)}
    mask = {"one": np.ones(NUMBER, np.float32), "other": HAS, "place": np.ones(NUMBER, np.float32)}
    return Split(tf.data.Dataset.from_tensor_slices({"x": x, "mask": mask}), NUMBER)


def batches(epochs=1, **kwargs):
    return list(training_batches(make_split(), BATCH, epochs, seed=3, buckets=BUCKETS, **kwargs))


def places(found):
    return [batch["x"]["place"].numpy().tolist() for batch in found]


def length_of(place):
    return max(np.count_nonzero(ONE[place]), HAS[place] * np.count_nonzero(OTHER[place]))


def test_every_example_comes_once_with_what_belongs_to_it():
    found = batches()
    seen = sum(places(found), [])
    assert len(seen) == NUMBER // BATCH * BATCH and len(set(seen)) == len(seen)
    for batch in found:
        rows = batch["x"]["place"].numpy()
        np.testing.assert_array_equal(batch["mask"]["other"], HAS[rows])
        one = batch["x"]["one"].numpy()
        np.testing.assert_array_equal(one, ONE[rows][:, : one.shape[1]])
        assert not np.any(ONE[rows][:, one.shape[1] :])


def test_no_batch_is_longer_than_a_multiple_of_8_asks_for():
    found, lengths = batches(), set()
    for batch in found:
        rows = batch["x"]["place"].numpy()
        for name, text in (("one", ONE[rows]), ("other", OTHER[rows] * HAS[rows, np.newaxis])):
            longest = max(np.count_nonzero(text, axis=1).max(), 1)
            length = batch["x"][name].shape[1]
            assert length == min(8 * -(-int(longest) // 8), LENGTH)
            lengths.add(length)
    assert lengths == {8, 16, 20}


def test_what_an_epoch_leaves_out_is_of_any_length():
    """The rest of a window would be its longest examples, the same in every epoch."""
    missed = [set(range(NUMBER)) - {*np.ravel(places(batches(1, first_epoch=0)))}]
    everything = Buckets(("one", "other"), batches=NUMBER)
    visits = np.zeros(NUMBER, int)
    for epoch in range(30):
        found = training_batches(
            make_split(), BATCH, epoch + 1, seed=3, buckets=everything, first_epoch=epoch
        )
        missed.append(set(range(NUMBER)) - {*np.ravel(places(found))})
        visits[list(missed[-1])] += 1
    assert all(len(each) == NUMBER % BATCH for each in missed)
    longest = sorted(range(NUMBER), key=length_of)[-10:]
    assert visits.max() < 5 and visits[longest].sum() < 10


def test_windows_of_the_epochs_own_order_are_sorted_and_their_batches_shuffled():
    plain = places(training_batches(make_split(), BATCH, 1, seed=3))
    found = places(batches())
    in_order = []
    for start in range(0, len(plain) - 3, 4):
        window = found[start : start + 4]
        assert sorted(sum(window, [])) == sorted(sum(plain[start : start + 4], []))
        spans = [(min(map(length_of, b)), max(map(length_of, b))) for b in window]
        ordered = sorted(spans)
        assert all(a[1] <= b[0] for a, b in zip(ordered, ordered[1:], strict=False))
        in_order.append(spans == ordered)
    assert not all(in_order)


@pytest.mark.parametrize("skip", [0, 1, 7])
def test_a_stream_taken_up_anywhere_goes_on_as_the_whole_one(skip):
    whole, steps = batches(3), NUMBER // BATCH
    rest = batches(3, first_epoch=1, skip_batches=skip)
    for expected, actual in zip(whole[steps + skip :], rest, strict=True):
        tf.nest.map_structure(np.testing.assert_array_equal, expected, actual)
    assert places(whole)[:steps] != places(whole)[steps : 2 * steps]


def test_parts_have_their_rows_of_the_same_batches():
    kwargs = {"streams": 5}
    whole = places(batches(**kwargs))
    parts = [places(batches(part=Part(p, 1, 5), **kwargs)) for p in range(5)]
    assert [sum(rows, []) for rows in zip(*parts, strict=True)] == whole


def test_strata_have_their_long_sequences_in_the_same_batches():
    paired = HAS > 0
    strata = [Stratum(paired, 2, None), Stratum(~paired, 3, None)]
    spreads = {}
    for name, buckets in (("chance", None), ("buckets", BUCKETS)):
        found = training_batches(make_split(), BATCH, 1, seed=3, strata=strata, buckets=buckets)
        rows = places(found)
        for batch in rows:
            assert [bool(paired[place]) for place in batch] == [True, True, False, False, False]
        spreads[name] = np.mean([np.ptp([length_of(p) for p in batch]) for batch in rows])
    assert spreads["buckets"] < 0.6 * spreads["chance"]


def test_few_examples_do_not_come_several_times_in_a_batch():
    few = np.arange(NUMBER) < 6  # a window of 4 batches of 2 has 8
    strata = [Stratum(few, 2, None), Stratum(~few, 3, None)]
    found = places(training_batches(make_split(), BATCH, 1, 3, strata=strata, buckets=BUCKETS))
    assert len(found) == NUMBER // BATCH
    assert sum(batch[0] != batch[1] for batch in found) >= len(found) - 3  # where passes meet


@pytest.mark.parametrize(
    "mode", ["eager", "function", pytest.param("xla", marks=pytest.mark.long)], indirect=True
)
def test_a_shorter_batch_has_the_same_loss_and_gradients(mode):
    def text(name):
        network = RecurrentDecoder(9, 3, 4, 1)
        likelihood = likelihoods.TokenSequence(9, LENGTH, network, context_size=4)
        return Modality(name, likelihood, RecurrentEncoder(9, 3, 4))

    model = MVAE([text("one"), text("other")], latent_dim=2)
    short = min(range(NUMBER), key=length_of)
    rows = [place for place in range(NUMBER) if length_of(place) <= 8][:4] + [short]
    batch = {"one": ONE[rows], "other": OTHER[rows]}
    mask = {"one": np.ones(5, np.float32), "other": HAS[rows]}

    def loss_and_gradients(x):
        def loss():
            return model.elbo({"x": x, "mask": mask}, seed=3, training=True).loss

        return tiny.gradients_of(loss, model.trainable_variables)

    whole = tf.nest.map_structure(tf.constant, batch)
    cut = {"one": whole["one"][:, :8], "other": whole["other"]}
    run = mode(loss_and_gradients)
    tiny.assert_close(run(cut), run(whole), rtol=1e-4, atol=1e-5)


def test_what_has_no_sequence_is_refused():
    config = RunConfig("tiny", batch_size=BATCH, bucket_batches=2)
    with pytest.raises(UserError, match="tiny has no sequence"):
        Feed(config, {"train": make_split()}).training(Position())
