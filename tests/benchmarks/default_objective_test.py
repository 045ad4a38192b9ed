"""The table of objectives compares methods on the same seeds."""


def entry(**settings):
    scores = {
        name: {str(seed): {"error": float(value)} for seed, value in found.items()}
        for name, found in settings.items()
    }
    return {"baselines": {"mean": scores.pop("mean")}, "settings": scores, "columns": []}


def test_means_are_over_the_seeds_that_all_methods_have(scripts):
    import default_objective

    results = {
        "a": entry(mean={0: 1, 1: 3, 2: 5}, **{"1:2": {2: 7, 0: 9}, "0:2": {0: 4, 2: 6, 1: 50}}),
        "b": entry(mean={0: 1}, **{"1:2": {1: 7}}),
    }
    compared = {name: default_objective.comparable(one) for name, one in results.items()}
    text = default_objective.summary(compared)
    assert "| mean |  | 3.000 |  |" in text
    assert "| 1 | 2 | 8.000 |  |" in text
    assert "| 0 | 2 | 5.000 |  |" in text
    assert default_objective.seeds_of(compared).endswith("have: 0, 2 (a); none (b).")
    assert "| 0 | 2 | 2 | 5.000 |" in default_objective.table_of(compared["a"])
