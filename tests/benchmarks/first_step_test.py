"""The table of the first step's time."""


def test_both_ways_have_a_row_in_seconds_and_milliseconds(scripts):
    import first_step

    one = {"trace": 1.25, "first_call": 0.5, "step": 0.01}
    other = {"trace": 1.0, "first_call": 0.25, "step": 0.02}
    rows = {"mnist": {"title": "MNIST", "rounds": 3, "with": one, "without": other}}
    text = first_step.report(rows)
    assert "| MNIST | with | 1.2 | 0.5 | 10 |" in text
    assert "| MNIST | without | 1.0 | 0.2 | 20 |" in text
    assert text.strip().endswith("medians of 3 rounds.")
