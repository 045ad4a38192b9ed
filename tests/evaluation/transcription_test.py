"""The accuracy of predicted sequences where there is nothing to predict."""

import numpy as np
import pytest

from tests.models.sequences_test import make_batch, make_model
from tf_mvae.evaluation.transcription import transcription_accuracy

pytestmark = pytest.mark.usefixtures("untraced")


def test_without_an_example_that_counts_results_are_not_numbers():
    batch = make_batch(4)
    batch["mask"]["two"][:] = 0
    found = transcription_accuracy(make_model(), [batch], 1)
    assert len(found) == 8
    for result in found.values():
        assert result["examples"] == 0 and np.isnan(result["value"])
