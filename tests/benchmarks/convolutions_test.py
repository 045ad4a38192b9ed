"""Ways to compute convolutional steps, and their table."""

import pytest


def test_a_way_that_was_not_measured_is_a_dash(scripts):
    import convolutions

    setup = {
        **{"title": "MVTCAE", "ms": {convolutions.KERAS: 50.0, "ours": 40.04}},
        "gflops": {"float32": 100.0, "bfloat16": 199.6},
        **{"processor": "A processor", "cores": 2, "load_before": 0.0, "tensorflow": "2.21.0"},
        "rounds": 3,
    }
    text = convolutions.report({"setups": {"mvtcae": setup}})
    assert "| MVTCAE | 50.0 | 40.0 | - | - |" in text
    assert "100 in float32, 200 in bfloat16" in text
    assert text.strip().endswith("medians of 3 rounds.")


def test_set_ups_that_are_not_measured_now_stay(scripts, monkeypatch, tmp_path):
    import convolutions

    machines = [{"processor": "P", "cores": 2}, {"processor": "Q", "cores": 4}]
    monkeypatch.setattr(convolutions.contestants, "machine", lambda: machines.pop())
    monkeypatch.setattr(convolutions, "rates", lambda: {"float32": 100.0})
    monkeypatch.setattr(
        convolutions, "compare", lambda name, *_: {"title": name, "ms": {"ours": 1.0}}
    )
    for name in ("mvae", "mvtcae"):
        arguments = [f"--output={tmp_path / 'out.json'}", "--setups", name]
        monkeypatch.setattr("sys.argv", ["convolutions", *arguments])
        convolutions.main()
    text = (tmp_path / "out.md").read_text()
    assert text.index("| mvtcae | - | 1.0") < text.index("| mvae | - | 1.0")
    assert "mvae: Q, 4 cores" in text and "mvtcae: P, 2 cores" in text


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
