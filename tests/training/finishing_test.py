"""A run's own SavedModel."""

import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from tests import tiny
from tf_mvae.serving import ModelCard
from tf_mvae.serving.warmup import WARMUP_FILE
from tf_mvae.training.finishing import _replace_saved_model
from tf_mvae.training.run_directory import RunDirectory


@pytest.mark.usefixtures("traced")
def test_an_export_replaces_an_older_one_and_its_requests_have_the_directorys_name(tmp_path):
    directory = RunDirectory(tmp_path)
    directory.saved_model.mkdir()
    (directory.saved_model / "older").write_text("a file")
    (tmp_path / ".saved_model.new").mkdir()  # of a run that was killed
    (tmp_path / ".saved_model.new" / "part").write_text("a file")
    _replace_saved_model(tiny.make_model(), directory, ModelCard())
    assert [path.name for path in tmp_path.iterdir()] == ["saved_model"]
    assert not (directory.saved_model / "older").exists()
    records = tf.data.TFRecordDataset(str(directory.saved_model / "assets.extra" / WARMUP_FILE))
    logs = map(prediction_log_pb2.PredictionLog.FromString, records.as_numpy_iterator())
    assert {log.predict_log.request.model_spec.name for log in logs} == {"saved_model"}
