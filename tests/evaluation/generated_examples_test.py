"""The given subsets, and that generated examples equal the model's."""

import numpy as np
import pytest

from tests import tiny
from tests.evaluation import attributes_test
from tf_mvae import CVAE, MVAE, Covariate, Modality, likelihoods
from tf_mvae.errors import UserError
from tf_mvae.evaluation import Settings
from tf_mvae.evaluation.generated_examples import (
    Examples,
    Subset,
    generate,
    real_examples,
    reconstruct,
    sample_prior,
    subsets_of,
)


def make_examples(number=7):
    batch = tiny.make_batch(np.ones([number, 3]))
    return Examples(batch["x"], batch["mask"])


def test_every_subset_of_a_few_modalities_and_some_of_many():
    words = [subset.describe([]) for subset in subsets_of(tiny.make_model())]
    pairs = ["image, label", "image, reading", "label, reading"]
    assert words == ["image", "label", "reading", *pairs]
    many = MVAE([Modality(f"r{n}", likelihoods.Normal([1])) for n in range(7)], latent_dim=2)
    found = subsets_of(many, seed=3)
    sizes = [len(subset.names) for subset in found]
    assert set(sizes) == set(range(1, 7)) and max(map(sizes.count, sizes)) <= 3
    assert found == subsets_of(many, seed=3) != subsets_of(many, seed=4)


def test_a_model_with_a_condition_is_always_given_it():
    model = tiny.make_any(CVAE)
    assert [subset.names for subset in subsets_of(model)] == [("label", "reading")]


def test_attributes_are_given_one_by_one_and_whole():
    model = attributes_test.make_model()
    words = [subset.describe(["attributes"]) for subset in subsets_of(model)]
    assert words == ["image", "1 of attributes", "2 of attributes", "attributes"]
    rng = np.random.default_rng(0)
    has = (rng.random([30, 3]) < 0.5).astype(np.float32)
    known = np.ones([30, 3], np.float32)
    known[:10, 0] = 0
    x = {"image": np.zeros([30, 3, 3, 1], np.float32), "attributes": has}
    examples = Examples(x, {"image": np.ones(30, np.float32), "attributes": known})
    generated, mask = generate(model, examples, Subset(("attributes",), 2), Settings(num_samples=1))
    chosen = mask["attributes"]
    np.testing.assert_array_equal(chosen.sum(1), 2)
    assert np.all(chosen <= known) and len(np.unique(chosen[10:], axis=0)) == 3
    there = {"attributes": chosen}
    expected = model.generate({"attributes": has}, 1, there, [0, 0])["image"][0]
    np.testing.assert_allclose(generated["image"], expected, atol=1e-6)


def test_examples_are_generated_as_the_model_does_by_default():
    model, examples = tiny.make_model(), make_examples()
    settings = Settings(num_samples=3, batch_size=4, seed=5)
    generated, mask = generate(model, examples, Subset(("label", "reading")), settings)
    assert set(mask) == {"label", "reading"}
    given = {name: examples.x[name][4:] for name in mask}
    expected = model.generate(given, 3, seed=[5, 1])["image"].numpy()
    np.testing.assert_allclose(generated["image"][3 * 4 + 3 * 1 + 2], expected[2, 1], atol=1e-6)
    drawn = sample_prior(model, 7, settings)["image"]
    np.testing.assert_allclose(drawn[4:], model.sample(3, seed=[5, 1])["image"], atol=1e-6)


def test_covariates_are_given_to_every_subset():
    value, kind = (Modality(n, likelihoods.Normal([2])) for n in ("value", "kind"))
    model = MVAE([value, kind], 2, covariates=[Covariate("age")])
    rng = np.random.default_rng(0)
    x = {name: rng.normal(size=[7, 2]).astype(np.float32) for name in ("value", "kind")}
    x["age"] = rng.normal(size=7).astype(np.float32)
    mask = {name: np.ones(7, np.float32) for name in ("value", "kind")}
    settings = Settings(num_samples=2, seed=1)
    found, _ = generate(model, Examples(x, mask), Subset(("value",)), settings)
    expected = model.generate({n: x[n] for n in ("value", "age")}, 2, seed=[1, 0])["kind"]
    np.testing.assert_allclose(found["kind"][::2], expected[0], atol=1e-6)


def test_reconstructions_see_everything():
    model, examples = tiny.make_model(), make_examples(5)
    settings = Settings(num_samples=2, seed=1)
    found = reconstruct(model, examples, ["image"], settings)
    z = model.posterior(examples.x, examples.mask).sample(2, seed=[1, 0])
    expected = model.from_latent(z)["image"].numpy()
    assert set(found) == {"image"}
    np.testing.assert_allclose(found["image"][::2], expected[0], atol=1e-6)


def test_only_examples_with_everything_count():
    class Run:
        model = tiny.make_model()

        def split(self, name):
            return type("Split", (), {"num_examples": 24})

        def batches(self, name, batch_size, seed):
            present = np.ones([24, 3])
            present[::2, 1] = 0
            return tiny.batches(tiny.make_batch(present), batch_size)

    examples = real_examples(Run(), Settings(batch_size=5), 11)
    whole = tiny.make_batch(np.ones([24, 3]))["x"]["label"][1::2]
    np.testing.assert_array_equal(examples.x["label"], whole[:11])
    assert examples.number == 11 and examples.first(3).number == 3
    with pytest.raises(UserError, match="9 examples have all modalities"):
        real_examples(Run(), Settings(max_examples=18), 1000)
