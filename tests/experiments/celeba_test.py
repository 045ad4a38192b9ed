"""CelebA-19 from its config to a finished run, with half of the attributes missing."""

import numpy as np
import pytest

from tests.data.attributes_test import dataset_dir  # noqa: F401  a fixture
from tests.experiments.configs import CONFIGS, config_of, read_flags
from tf_mvae.errors import UserError
from tf_mvae.evaluation import ANALYSES, Settings, usual_analyses
from tf_mvae.training import load_run, train
from tf_mvae.training.incomplete import incomplete_split

pytestmark = pytest.mark.usefixtures("untraced")


@pytest.fixture(scope="module")
def config(dataset_dir):  # noqa: F811
    return config_of(
        read_flags(CONFIGS / "celeba19" / "mvae_cross.cfg"),
        dataset_dir=dataset_dir,
        attributes=("all",),
        missing_rate={"attributes": 0.5},
        epochs=1,
        annealing_epochs=1,
        batch_size=3,
        latent_dim=4,
        num_random_subsets=1,
        jit_compile=False,
    )


def test_a_run_with_half_of_the_attributes_is_trained_drawn_and_evaluated(config, tmp_path):
    train(config, tmp_path / "run")
    run = load_run(tmp_path / "run", "last")
    assert run.config.attributes == ("Male", "Round", "Smiling")
    names = {path.stem for path in (run.directory / "pictures").glob("*.png")}
    assert {"image_given_attributes", "attributes_given_image"} <= names
    settings = Settings(num_samples=2, baseline_steps=2)
    found = ANALYSES["attributes"].analyze(run, settings)
    assert found["mean, accuracy | image: model"]["examples"] == 6
    assert {result["method"] for result in found.values()} == {"model", "supervised"}


def test_an_image_and_a_vector_from_their_config(dataset_dir, tmp_path, training_alone):  # noqa: F811
    config = config_of(
        read_flags(CONFIGS / "celeba" / "mvae.cfg"),
        dataset_dir=dataset_dir,
        attributes=("all",),
        epochs=1,
        annealing_epochs=1,
        batch_size=3,
        latent_dim=4,
        jit_compile=False,
    )
    train(config, tmp_path / "run")
    run = load_run(tmp_path / "run", "last")
    assert usual_analyses(run) == ("log_likelihood",)
    found = ANALYSES["log_likelihood"].analyze(run, Settings(num_samples=2, max_examples=3))
    values = {name: found[f"log p({name})"]["value"] for name in ("image", "attributes")}
    assert np.isfinite(list(values.values())).all()


def test_members_are_missing_one_by_one_or_each_at_its_own_rate(config):
    def rates(**missing_rate):
        changed = config.replace(missing_rate=missing_rate, attributes=("Smiling", "Round", "Male"))
        split = incomplete_split(changed, "train")
        assert split.presence["attributes"].shape == (6, 3)
        masks = np.stack([e["mask"]["attributes"] for e in split.dataset.as_numpy_iterator()])
        np.testing.assert_array_equal(masks, split.presence["attributes"])
        return 1 - masks.mean(0)

    np.testing.assert_array_equal(rates(Round=1.0), [0, 1, 0])
    np.testing.assert_array_equal(rates(attributes=1.0, Male=0.0), [1, 1, 0])
    with pytest.raises(UserError, match="--missing_rate names 'Bald'"):
        rates(Bald=0.5)
