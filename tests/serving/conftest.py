"""Fixtures of the tests of exports."""

import pytest

from tests.serving import shaped
from tf_mvae.serving import ModelCard, export_version

CARD = ModelCard(
    data={"description": "nothing | at all"}, metrics={"elbo": -1.5}, licence="Nobody's."
)


@pytest.fixture(scope="session")
def digits_model():
    """A model in the digits' shapes."""
    return shaped.digits_shaped()


@pytest.fixture(scope="session")
def digits_export(digits_model, tmp_path_factory):
    """Its first version in `served/digits`."""
    return export_version(digits_model, tmp_path_factory.mktemp("served") / "digits", card=CARD)
