"""The table of training steps: ratios are those of contestants in the same round."""


def setup(**seconds):
    measured = {"peak_bytes": 1e9, "first_step_seconds": 1.0, "start_seconds": 2.0}
    contestants = {
        name.replace("_", ", "): {"seconds": s, **measured} for name, s in seconds.items()
    }
    return {
        **{"title": "T", "batch_size": 100, "modalities": 2, "jit_compile": False, "rounds": 3},
        **{"compiled": 2e9, "matmul": [1e9, 2e9, 4e9], "matmul_size": 2048, "load_before": 0.5},
        **{"processor": "P", "cores": 2, "versions": {"x": "1"}, "contestants": contestants},
    }


def test_ratios_are_medians_of_the_ratios_of_each_round(scripts):
    import training_step

    made = setup(
        **{"ours_no XLA": [4, 2, 1.0], "ours_fit_no XLA": [2.0, 1, 4]}, MultiVae=[8, 6, 1.0]
    )
    made["contestants"]["slow"] = {**made["contestants"]["MultiVae"], "seconds": [16.0]}
    lines = training_step.report({"setups": {"t": made}}).splitlines()
    # Medians are 2 s, 2 s and 6 s, and 2 GFLOP a second are the limit.
    assert lines[4].startswith("| ours, no XLA | 50 | 2,000.0 | 2.00 | 50% |")
    assert lines[5].startswith("| ours, fit, no XLA | 50 | 2,000.0 | 4.00 | 100% |")
    assert lines[6].startswith("| MultiVae | 17 | 6,000.0 | 1.00 | 25% |")
    assert lines[7].startswith("| slow (one round) | 6 | 16,000.0 | 0.50 | 12% |")
    assert "`fit` costs -50.0% over the bare step." in lines[-1]
    assert lines[-1].endswith("medians of 3 rounds, ratios by round.")
