"""Ways to compute convolutional steps, and their table."""

import pytest


def test_a_way_that_was_not_measured_is_a_dash(scripts):
    import convolutions

    record = {
        "rows": {"mvtcae": {"title": "MVTCAE", "ms": {convolutions.KERAS: 50.0, "ours": 40.04}}},
        "gflops": {"float32": 100.0, "bfloat16": 199.6},
        **{"processor": "A processor", "cores": 2, "load_before": 0.0, "tensorflow": "2.21.0"},
        "rounds": 3,
    }
    text = convolutions.report(record)
    assert "| MVTCAE | 50.0 | 40.0 | - | - |" in text
    assert "100 in float32, 200 in bfloat16" in text
    assert text.strip().endswith("medians of 3 rounds.")


@pytest.mark.parametrize("fails", [False, True])
def test_keras_layer_is_used_meanwhile_only(scripts, fails):
    import convolutions

    from tf_mvae.layers import ImageConv2DTranspose

    layer = ImageConv2DTranspose(3, 4, strides=2, padding="same")
    assert layer.is_a_convolution
    try:
        with convolutions.last_layer_of(convolutions.KERAS):
            assert not layer.is_a_convolution
            if fails:
                raise ValueError
    except ValueError:
        assert fails
    assert layer.is_a_convolution
