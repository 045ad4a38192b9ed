"""The calculation on paper of many accelerators."""

import math


def test_arithmetic_is_what_the_objective_needs(scripts):
    import scaling

    row = scaling.on_paper(parameters=75_000_000, operations={"100": 5 * 10**10})[0]
    # 50 TFLOP/s; 7/4 of 300 MB at 300 GB/s, and 14 messages of 5 us.
    assert row["arithmetic"] == "1.00 ms" and row["communication"] == "1.82 ms"
    assert row["efficiency"] == "35 %"


def kernels(weights):
    return sum(math.prod(weight.shape) for weight in weights if len(weight.shape) == 2)


def test_operations_are_those_of_the_model_that_is_measured(scripts):
    import scaling

    from tf_mvae.training.build import build_model

    modalities = build_model(scaling.config_of(), 1).modalities
    encoders = sum(kernels(m.encoder.weights + m.expert_head.weights) for m in modalities)
    decoders = sum(kernels(m.decoder.weights) for m in modalities)
    # Encoded once and decoded from the three terms, forward and for two gradients. The gradients of
    # data are not needed, and a label is encoded once a class.
    expected = 6 * (encoders + 3 * decoders)
    for batch, found in scaling.operations().items():
        assert 0.8 * expected < found / int(batch) < expected
