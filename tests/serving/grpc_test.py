"""The gRPC API, asked by TensorFlow Serving's own stubs, next to the REST API."""

import concurrent.futures
import queue
import threading
import time

import grpc
import numpy as np
import pytest
import tensorflow as tf
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from tests.serving.server_tools import save_stranger, serving, wait_until
from tf_mvae.serving.server.saved_model import ServedVersion

Code = grpc.StatusCode


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    base = tmp_path_factory.mktemp("served")
    save_stranger(base / "3")
    return base


@pytest.fixture(scope="module")
def client(base):
    limits = {"read_seconds": 1.0, "max_body_bytes": 1 << 20, "batch_any_model": True}
    with serving(base, grpc_port=0, labels={"stable": 3, "gone": 2}, **limits) as client:
        yield client


@pytest.fixture(scope="module")
def channel(client):
    with connect(client) as channel:
        yield channel


def connect(client, **options):
    host, port = client.grpc_address
    return grpc.insecure_channel(f"{host}:{port}", **options)


def make_request(signature, inputs, name="stranger", filtered=(), **spec):
    request = predict_pb2.PredictRequest(output_filter=filtered)
    request.model_spec.name = name
    request.model_spec.signature_name = signature
    if "label" in spec:
        request.model_spec.version_label = spec["label"]
    if "version" in spec:
        request.model_spec.version.value = spec["version"]
    for key, value in inputs.items():
        if not isinstance(value, PROTO):
            value = tf.make_tensor_proto(value)
        request.inputs[key].CopyFrom(value)
    return request


PROTO = type(tf.make_tensor_proto(1))


def ask(channel, request, **options):
    stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
    return stub.Predict(request, timeout=60, **options)


def predict(channel, signature, inputs, **options):
    answer = ask(channel, make_request(signature, inputs, **options))
    return {name: tf.make_ndarray(value) for name, value in answer.outputs.items()}


def refusal(call, *arguments, **options):
    """Returns the status code and the message of a rejected call."""
    with pytest.raises(grpc.RpcError) as refused:
        call(*arguments, **options)
    return refused.value.code(), refused.value.details()


INPUTS = {
    "serving_default": {"x": np.array([[1, 2.5], [3, np.inf]], np.float32)},
    "named": {"a": np.array([0.5, 1], np.float32), "b": np.array([1, 2])},
    "strings": {"s": np.array([b"hi", b"\xff"], object)},
    "repeat": {"x": np.array([1, 2], np.float32), "times": np.int32(2)},
    "flags": {"on": np.array([True, False])},
    "small": {"n": np.array([0, 255], np.uint8)},
    "bounded": {
        "level": np.array([9, 0.5], np.float32),
        "level_mask": np.array([0, 1], np.float32),
    },
}
OUTPUTS = {
    "serving_default": {"y": [[2, 5], [6, np.inf]]},
    "named": {"total": [1.5, 3], "twice": [2, 4]},
    "strings": {"echo": [b"hi", b"\xff"], "raw_bytes": [b"hi", b"\xff"]},
    "repeat": {"y": [[1, 2], [1, 2]]},
    "flags": {"off": [False, True]},
    "small": {"n": [0, 255]},
    "bounded": {"y": [0, 0.5]},
}


@pytest.mark.parametrize("signature", INPUTS)
def test_predict(channel, signature):
    found = predict(channel, signature, INPUTS[signature])
    assert found.keys() == OUTPUTS[signature].keys()
    for name, value in OUTPUTS[signature].items():
        assert found[name].tolist() == value


def test_the_answer_names_the_model_and_holds_binary_tensors(channel):
    answer = ask(channel, make_request("", INPUTS["serving_default"]))
    assert answer.model_spec.name == "stranger" and answer.model_spec.version.value == 3
    assert answer.model_spec.signature_name == "serving_default"
    value = answer.outputs["y"]
    assert np.frombuffer(value.tensor_content, np.float32).tolist() == [2, 5, 6, np.inf]


def test_outputs_may_be_filtered(channel):
    assert predict(channel, "named", INPUTS["named"], filtered=["twice"]).keys() == {"twice"}
    request = make_request("named", INPUTS["named"], filtered=["three"])
    code, words = refusal(ask, channel, request)
    assert code == Code.INVALID_ARGUMENT and "unknown output three" in words


def typed(dtype, shape, **values):
    proto = PROTO(dtype=tf.as_dtype(dtype).as_datatype_enum, **values)
    for size in shape:
        proto.tensor_shape.dim.add(size=size)
    return proto


@pytest.mark.parametrize(
    ("proto", "value"),
    [
        (typed("float32", [2, 2], float_val=[1, 2, 3, 4]), [[1, 2], [3, 4]]),
        (typed("float32", [2, 2], float_val=[1, 2]), [[1, 2], [2, 2]]),  # the last one again
        (typed("float32", [1, 2]), [[0, 0]]),
    ],
)
def test_values_may_be_in_the_field_of_their_type(channel, proto, value):
    found = predict(channel, "serving_default", {"x": proto})
    assert found["y"].tolist() == [[2 * number for number in row] for row in value]


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({"x": np.ones([2, 2])}, "'x' takes float32 [any, 2]; float64 was sent"),
        ({"x": typed("float32", [2, 2], float_val=[1] * 5)}, "4 values by its shape; 5"),
        ({"x": typed("float32", [2, 2], tensor_content=b"1234")}, "16 bytes by its type"),
        ({"x": typed("float32", [1 << 40, 2], float_val=[1])}, "longer than 1048576 bytes"),
        ({"x": typed("float32", [-1, 2], float_val=[1])}, "unknown shape"),
        ({"x": PROTO(dtype=200)}, "type 200 was sent"),
        ({"x": typed("float32", [1] * 70)}, "float32 [any, 2]; 70 axes were sent"),
        ({"x": typed("float32", [0, 1 << 19, 1 << 19, 1 << 19])}, "; shape [0, 524288, "),
    ],
)
def test_tensors_that_do_not_fit_are_refused(channel, inputs, words):
    code, said = refusal(predict, channel, "serving_default", inputs)
    assert code == Code.INVALID_ARGUMENT and words in said


# (signature, inputs, options), the body and path of the same request to the REST API, the code.
SAME = {
    "signature": (("none", {}), ({"signature_name": "none", "inputs": {}}, ""), "INVALID_ARGUMENT"),
    "input": (
        ("serving_default", {"z": np.float32(1)}),
        ({"inputs": {"z": 1}}, ""),
        "INVALID_ARGUMENT",
    ),
    "missing": (
        ("named", {"a": np.ones(1, np.float32)}),
        ({"signature_name": "named", "inputs": {"a": [1]}}, ""),
        "INVALID_ARGUMENT",
    ),
    "shape": (
        ("serving_default", {"x": np.ones([1, 3], np.float32)}),
        ({"inputs": {"x": [[1, 1, 1]]}}, ""),
        "INVALID_ARGUMENT",
    ),
    "lengths": (
        ("named", {"a": np.ones(1, np.float32), "b": np.ones(2, np.int64)}),
        ({"signature_name": "named", "inputs": {"a": [1], "b": [1, 1]}}, ""),
        "INVALID_ARGUMENT",
    ),
    "bounds": (
        ("bounded", {"level": np.float32([9]), "level_mask": np.float32([1])}),
        ({"signature_name": "bounded", "inputs": {"level": [9], "level_mask": [1]}}, ""),
        "INVALID_ARGUMENT",
    ),
    "amount": (
        ("serving_default", {"x": np.ones([4097, 2], np.float32)}),
        ({"inputs": {"x": [[1, 1]] * 4097}}, ""),
        "INVALID_ARGUMENT",
    ),
    "model": (
        ("picky", {"i": np.int32([7])}),
        ({"signature_name": "picky", "inputs": {"i": [7]}}, ""),
        "INVALID_ARGUMENT",
    ),
    "version": (
        ("serving_default", {}, {"version": 2}),
        ({"inputs": {}}, "/versions/2"),
        "NOT_FOUND",
    ),
    "label": (
        ("serving_default", {}, {"label": "none"}),
        ({"inputs": {}}, "/labels/none"),
        "INVALID_ARGUMENT",
    ),
    "label that is gone": (
        ("serving_default", {}, {"label": "gone"}),
        ({"inputs": {}}, "/labels/gone"),
        "NOT_FOUND",
    ),
}


@pytest.mark.parametrize("case", SAME)
def test_the_words_of_a_refusal_are_those_of_rest(client, channel, case):
    (signature, inputs, *options), (body, at), code = SAME[case]
    options = options[0] if options else {}
    found = refusal(predict, channel, signature, inputs, **options)
    status, answer = client.predict(body, at)
    assert status in (400, 404)
    assert found == (Code[code], answer["error"])


def test_a_request_without_a_model_is_refused(channel):
    request = predict_pb2.PredictRequest()
    assert refusal(ask, channel, request) == (Code.INVALID_ARGUMENT, "Missing ModelSpec")
    request.model_spec.signature_name = "named"
    assert refusal(ask, channel, request)[0] == Code.INVALID_ARGUMENT
    request.model_spec.name = "half"
    expected = Code.NOT_FOUND, "Servable not found for request: Latest(half)"
    assert refusal(ask, channel, request) == expected


def test_a_version_may_be_named(channel):
    for spec in ({"version": 3}, {"label": "stable"}):
        assert predict(channel, "flags", INPUTS["flags"], **spec)["off"].tolist() == [False, True]


def test_empty_tensors_of_a_free_shape_have_a_limit_too(channel):
    empty = typed("float32", [0, 1 << 19])
    code, words = refusal(predict, channel, "free", {"x": empty})
    assert code == Code.INVALID_ARGUMENT and "longer than 1048576 bytes" in words


def test_metadata_is_the_signatures(client, channel):
    stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    request.model_spec.name = "stranger"
    answer = stub.GetModelMetadata(request)
    found = get_model_metadata_pb2.SignatureDefMap()
    assert answer.metadata["signature_def"].Unpack(found)
    assert answer.model_spec.version.value == 3
    assert dict(found.signature_def) == client.repository.find().definitions
    request.metadata_field[:] = ["weights"]
    expected = Code.INVALID_ARGUMENT, "Metadata field weights is not supported"
    assert refusal(stub.GetModelMetadata, request) == expected


def test_status(channel):
    stub = model_service_pb2_grpc.ModelServiceStub(channel)
    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = "stranger"
    (entry,) = stub.GetModelStatus(request).model_version_status
    assert entry.version == 3 and entry.status.error_code == 0
    assert entry.state == get_model_status_pb2.ModelVersionStatus.AVAILABLE
    request.model_spec.version.value = 9
    expected = Code.NOT_FOUND, "Could not find version 9 of model stranger"
    assert refusal(stub.GetModelStatus, request) == expected


def test_methods_that_are_not_served_say_so(channel):
    stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
    request = classification_pb2.ClassificationRequest()
    request.model_spec.name = "stranger"
    code, words = refusal(stub.Classify, request)
    assert code == Code.INVALID_ARGUMENT and "to be tensorflow/serving/classify" in words
    code, _ = refusal(channel.unary_unary("/tensorflow.serving.PredictionService/None"), b"")
    assert code == Code.UNIMPLEMENTED


def test_requests_of_both_apis_are_run_together_and_counted(client, channel, monkeypatch):
    """While one call is running, the others wait in the signature's queue."""
    held, run, sizes = threading.Event(), ServedVersion.run, []

    def wait(version, name, inputs):
        sizes.append(len(inputs["on"]))
        assert held.wait(60)
        return run(version, name, inputs)

    monkeypatch.setattr(ServedVersion, "run", wait)
    rows = {"signature_name": "flags", "instances": [True]}
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        first = pool.submit(client.predict, rows)
        wait_until(lambda: sizes)
        second = pool.submit(client.predict, rows)
        third = pool.submit(predict, channel, "flags", INPUTS["flags"])
        wait_until(lambda: client.metrics.queued._value.get() == 2)
        held.set()
    assert first.result() == second.result() == (200, {"predictions": [False]})
    assert third.result()["off"].tolist() == [False, True]
    assert sizes == [1, 3]
    text = client.ask("GET", "/metrics")[2].decode()
    assert 'tf_mvae_requests_total{route="grpc_Predict",status="OK"}' in text
    assert 'tf_mvae_requests_total{route="grpc_Predict",status="INVALID_ARGUMENT"}' in text


def test_health(channel):
    stub = health_pb2_grpc.HealthStub(channel)
    for service in ("", "tensorflow.serving.PredictionService"):
        found = stub.Check(health_pb2.HealthCheckRequest(service=service))
        assert found.status == health_pb2.HealthCheckResponse.SERVING


def test_messages_that_are_too_long_or_packed_are_refused(client, channel):
    long = {"x": np.ones([200_000, 2], np.float32)}
    code, words = refusal(predict, channel, "serving_default", long)
    assert code == Code.RESOURCE_EXHAUSTED and "1048576" in words
    with connect(client, compression=grpc.Compression.Gzip) as packed:
        request = make_request("", {"x": np.ones([1000, 2], np.float32)})
        assert refusal(ask, packed, request)[0] == Code.UNIMPLEMENTED
    assert predict(channel, "flags", INPUTS["flags"])


def test_a_body_that_does_not_arrive_ends_the_request(channel):
    call = channel.stream_unary("/tensorflow.serving.PredictionService/Predict")
    silent = queue.Queue()  # nothing is ever put in
    code, words = refusal(call, iter(silent.get, None))
    silent.put(None)
    assert code == Code.DEADLINE_EXCEEDED and "did not arrive within 1 seconds" in words
    assert refusal(call, iter([]))[0] == Code.INVALID_ARGUMENT
    assert "no PredictRequest" in refusal(call, iter([b"\xff\xff"]))[1]


def test_a_token_guards_all_but_health_and_answers_may_be_typed(base):
    with (
        serving(base, grpc_port=0, token="s3cret", grpc_tensor_content=False) as client,
        connect(client) as channel,
    ):
        request = make_request("", INPUTS["serving_default"])
        for wrong in ((), [("authorization", "s3cret")]):
            assert refusal(ask, channel, request, metadata=wrong)[0] == Code.UNAUTHENTICATED
        answer = ask(channel, request, metadata=[("authorization", "Bearer s3cret")])
        assert list(answer.outputs["y"].float_val) == [2, 5, 6, np.inf]
        stub = health_pb2_grpc.HealthStub(channel)
        assert stub.Check(health_pb2.HealthCheckRequest()).status


def test_a_full_queue_is_unavailable_and_what_runs_at_the_end_is_answered(base, monkeypatch):
    held, run = threading.Event(), ServedVersion.run

    def wait(*arguments):
        assert held.wait(60)
        return run(*arguments)

    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        with serving(base, grpc_port=0, num_threads=1, max_queue=1) as client:
            monkeypatch.setattr(ServedVersion, "run", wait)
            metrics, channel = client.metrics, connect(client)
            running = [pool.submit(predict, channel, "flags", INPUTS["flags"])]
            wait_until(lambda: metrics.running._value.get() and not metrics.queued._value.get())
            running.append(pool.submit(predict, channel, "flags", INPUTS["flags"]))
            wait_until(lambda: metrics.queued._value.get() == 1)
            expected = Code.UNAVAILABLE, "1 requests wait for the model"
            assert refusal(predict, channel, "flags", INPUTS["flags"]) == expected
            pool.submit(lambda: (time.sleep(0.5), held.set()))
        assert [f.result()["off"].tolist() for f in running] == [[False, True]] * 2
    assert refusal(predict, channel, "flags", INPUTS["flags"])[0] == Code.UNAVAILABLE
    channel.close()
