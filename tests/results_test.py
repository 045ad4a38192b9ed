"""The scripts that keep results and write them into the documents."""

import importlib
import json
import os
import pathlib

import pytest

from tf_mvae.training import RunConfig

RESULTS = pathlib.Path(__file__).parents[1] / "results"


@pytest.fixture(autouse=True)
def _scripts(monkeypatch):
    monkeypatch.syspath_prepend(RESULTS)


def script(name):
    return importlib.import_module(name)


def result(method, value, unit, **more):
    return {
        "value": value, "standard_error": 0.0123, "examples": 7, "unit": unit, "method": method,
        "name": f"the {method}", **more,
    }  # fmt: skip


def test_a_run_is_kept_without_where_its_data_lay_and_makes_a_table(tmp_path):
    run_dir, kept = tmp_path / "run", tmp_path / "kept" / "transformations-one"
    run_dir.mkdir()
    config = RunConfig(
        "celeba_transformations", data_dir="/home/me", dataset_dir="/home/me/pets/1.0.0"
    )
    config.write(run_dir / "flags.cfg")
    edges = {"task": "edge detection", "metric": "F1", "note": "threshold 0.31"}
    colours = {"task": "colourisation", "metric": "PSNR"}
    results = {
        "a": result("model", 0.456, "%", **edges),
        "b": result("guess", 0.123, "%", **edges),
        "c": result("model", 21.5, "dB", **colours),
        "d": result("supervised", 23.25, "dB", **colours),
        "e": result("guess", 20.0, "dB", **colours),
    }
    settings = {"split": "test", "step": 12}
    report = {"transformations": {"settings": settings, "results": results}}
    (run_dir / "evaluation.json").write_text(json.dumps(report))
    script("run_results").keep(run_dir, kept)
    assert "/home" not in (kept / "flags.cfg").read_text()

    written = script("result_tables.pictures")
    text = written.transformations_tables([written.Result(kept)])
    assert text.startswith("`transformations-one`: pets/1.0.0, `--model=mvae`")
    measured = "complete examples in training; 7 examples of the test split"
    assert f"12 steps of 100; {measured}; supervised network: the supervised" in text
    assert (
        "| colourisation | PSNR | 21.50 ± 0.01 dB | 23.25 ± 0.01 dB | 20.00 ± 0.01 dB | the guess |"
        in text
    )
    ours, guess = (f"{value} ± 1.2 % (threshold 0.31)" for value in (45.6, 12.3))
    assert f"| edge detection | F1 | {ours} | - | {guess} | the guess |" in text
    assert written.transformations_tables([]) == "No run yet."

    text = written.latents_table([written.Result(kept)], "pets")
    assert text.splitlines()[0] == (
        "| task | measure | model, 64 | supervised, 64 | simple guess |"
    )
    row = "| colourisation | PSNR | 21.50 ± 0.01 dB | 23.25 ± 0.01 dB | 20.00 ± 0.01 dB |"
    assert row in text and "| edge detection | F1 | 45.6 ± 1.2 % | - | 12.3 ± 1.2 % |" in text
    assert "12 steps of 100, 7 examples" in text
    assert written.latents_table([written.Result(kept)], "scenes") == "No run yet."


def test_attributes_make_a_table_that_says_what_was_seen_and_measured(tmp_path):
    config = RunConfig(
        "celeba19",
        dataset_dir="/pets/1.0.0",
        missing_rate={"attributes": 0.5},
        num_random_subsets=2,
    )
    config.write(tmp_path / "flags.cfg")
    results = {
        f"{name}, {metric} | image: {method}": result(method, value, "%")
        for name, value in (("Bald", 0.75), ("mean", 0.5))
        for metric in ("accuracy", "balanced accuracy")
        for method in ("model", "supervised")
    }
    results["Bald, accuracy | image: model"]["frequent"] = 0.9
    settings = {"split": "test", "step": 1234, "baseline_steps": 567}
    report = {"attributes": {"settings": settings, "results": results}}
    (tmp_path / "evaluation.json").write_text(json.dumps(report))
    written = script("result_tables.pictures")
    text = written.attributes_tables([written.Result(tmp_path)])
    assert "k = 2, missing in training: attributes 0.5" in text
    assert "1,234 steps of 100, the classifier 567; 7 examples of the test split." in text
    assert "| Bald | 90.0 % | 75.0 ± 1.2 % | 75.0 ± 1.2 % | 75.0 ± 1.2 % | 75.0 ± 1.2 % |" in text


def test_a_run_is_not_evaluated_again_unless_it_has_been_trained_on(tmp_path):
    results = script("run_results")
    report, weights = tmp_path / "evaluation.json", tmp_path / "checkpoints" / "one"
    weights.parent.mkdir()
    weights.touch()

    def evaluate(names, **settings):
        found = json.loads(report.read_text()) if report.exists() else {}
        report.write_text(json.dumps(found | {name: {"settings": settings} for name in names}))

    both, one = ["--analysis=accuracy,coherence"], ["--analysis=generation", "--split=test"]
    assert not results.evaluated(tmp_path, both)
    for flags, names in ((both, ["accuracy", "coherence"]), (one, ["generation"])):
        evaluate(names, step=10)
        results.note(tmp_path, flags)
    assert results.evaluated(tmp_path, both) and results.evaluated(tmp_path, one)
    assert not results.evaluated(tmp_path, [one[0]])  # with other flags
    evaluate(["accuracy"], max_examples=20)  # by hand, since
    assert not results.evaluated(tmp_path, both) and results.evaluated(tmp_path, one)
    for trained in (weights, tmp_path / "sampler" / "checkpoints" / "one"):
        evaluate(["accuracy"], step=10)
        results.note(tmp_path, both)
        if trained != weights:
            trained.mkdir(parents=True)
        later = weights.stat().st_mtime + 10
        os.utime(trained, (later, later))
        assert not results.evaluated(tmp_path, both)
        # Evaluating one of two anew says nothing of the other.
        results.note(tmp_path, one)
        assert results.evaluated(tmp_path, one) and not results.evaluated(tmp_path, both)
        os.utime(trained, (0, 0))


def test_translations_make_a_table_by_the_share_of_pairs(tmp_path):
    written, results = script("result_tables.sentences"), []
    for fraction in (1.0, 0.01):
        folder = tmp_path / f"translation-{fraction}"
        folder.mkdir()
        RunConfig("translation", paired_fraction=fraction).write(folder / "flags.cfg")
        scores = {
            f"{way}: {metric}": result("any", value, metric)
            for way, value in (("vi | en", 12.34), ("en | vi", 23.45))
            for metric in ("BLEU", "chrF")
        }
        scores["en | vi: BLEU by chance"] = result("any", 1.23, "BLEU")
        likelihoods = {
            f"log p({what})": result("any", -40.0, "nats") for what in ("vi", "en", "vi | en")
        }
        report = {"translation": scores, "log_likelihood": likelihoods}
        report = {
            name: {"settings": {"num_samples": 3}, "results": found}
            for name, found in report.items()
        }
        (folder / "evaluation.json").write_text(json.dumps(report))
        results.append(written.Result(folder))
    lines = written.translation_table(results).splitlines()
    assert "log p(target \\| source)" in lines[0]
    assert [line.split(" | ")[:3] for line in lines[2:]] == [
        ["| 1 %", "1, last", "en to vi"], ["| 1 %", "1, last", "vi to en"],
        ["| 100 %", "1, last", "en to vi"], ["| 100 %", "1, last", "vi to en"],
    ]  # fmt: skip
    many = "7, 3 samples | 7, 3 samples"
    assert lines[2].endswith(
        f"| 12.3 ± 0.0 | - | - | 12.3 ± 0.0 | - | - | -40.0 ± 0.0 | -40.0 ± 0.0 | {many} |"
    )
    assert lines[3].endswith(
        f"| 23.4 ± 0.0 | 1.2 ± 0.0 | - | 23.4 ± 0.0 | - | - | -40.0 ± 0.0 | - | {many} |"
    )
    assert written.translation_table([]) == "No run yet."


def test_the_first_sentences_of_a_run_are_kept_and_shown(tmp_path):
    run_dir, results_dir = tmp_path / "run", tmp_path / "results"
    (run_dir / "evaluation").mkdir(parents=True)
    config = RunConfig("translation", paired_fraction=0.1, dataset_dir="/pets/1.0.0")
    config.write(run_dir / "flags.cfg")
    (run_dir / "evaluation.json").write_text("{}")
    for name, suffix in (("translation", ""), ("translation_baseline", " baseline")):
        lines = []
        for source, target in (("en", "vi"), ("vi", "en")):
            for number in range(6):
                lines += [
                    f"{source}: Press *{number}*: go",
                    f"  {target}, by people: Nhấn {number} | đi",
                    f"  {target}, by the model: nhấn {number}{suffix}",
                ]
        path = run_dir / "evaluation" / f"{name}.txt"
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    script("run_results").keep(run_dir, results_dir / "translation-0.1")
    kept = (results_dir / "translation-0.1" / "translation.txt").read_text(encoding="utf-8")
    assert kept.count("by people") == 8 and "Press *4*" not in kept

    written = script("result_tables.sentences")
    text = written.sentence_tables([written.Result(results_dir / "translation-0.1")])
    assert "*Press \\*3\\*: go* (vi), by people *Nhấn 3 \\| đi* (en):" in text
    assert text.count("| 10 % | 1, last | nhấn 3 | nhấn 3 baseline |") == 2
    assert written.sentence_tables([]) == "No run yet."


def test_runs_of_another_length_are_no_seeds_of_a_run(tmp_path):
    for name, epochs, variance in (
        ("mnist-mvae", 100, 2.0),
        ("mnist-mvae-seed1", 100, 4.0),
        ("mnist-mvae-500", 500, 9.0),
        ("mnist-mvae_q", 100, 8.0),
        ("generation-mnist-default", 100, 5.0),
        ("generation-mnist-label_cross", 100, 7.0),
    ):
        folder = tmp_path / name
        folder.mkdir()
        model = "mvae_q" if name.endswith("q") else "mvae"
        RunConfig("mnist", model=model, epochs=epochs).write(folder / "flags.cfg")
        what = {"variance of log w, log p(image)": {"value": variance, "standard_error": 0.5}}
        report = {"weight_variance": {"results": what}}
        (folder / "evaluation.json").write_text(json.dumps(report))
    written = script("result_tables.digits")
    results = [written.Result(folder) for folder in sorted(tmp_path.iterdir())]
    paper = json.loads((RESULTS / "paper.json").read_text())
    text = written.variance_table(results, paper, ["mnist"])
    assert "| mvae | 3.00 (sd 1.41) |" in text and "| mvae_q | 8.00 ± 0.50 |" in text
    assert "| mvae, default objective | 5.00 ± 0.50 |" in text and "7.00" not in text


def test_likelihoods_stand_next_to_a_label_that_says_nothing(tmp_path):
    RunConfig("mnist", model="jmvae").write(tmp_path / "flags.cfg")
    what = {"log p(image, label)": result("any", -90.27, "nats")}
    what["log p(label | image)"] = result("any", -0.02, "nats")
    what["log p(label)"] = result("any", -4.44, "nats")
    what["log p(image | label), z of log p(label) from p(z)"] = result("any", -83.14, "nats")
    report = {"log_likelihood": {"results": what}}
    (tmp_path / "evaluation.json").write_text(json.dumps(report))
    run = script("result_tables.digits").Result(tmp_path)
    run.name = "mnist-jmvae"
    paper = json.loads((RESULTS / "paper.json").read_text())
    text = script("result_tables.digits").likelihood_table([run], paper, "mnist")
    assert "| -90.27 ± 0.01 | -90.769 |" in text and "| -0.02 ± 0.01 |" in text
    assert (
        "| useless: a label that says nothing of the image |" in text
        and "| -2.30 | -2.30 |" in text
    )
    assert "| -83.14 ± 0.01 † | -88.696 | -0.02 ± 0.01 | -4.44 ± 0.01 |" in text
    assert "| log p(label \\| image) |" in text


def test_a_run_takes_the_networks_that_another_has_trained_already(tmp_path):
    runs = script("run_results")
    first, second = (tmp_path / f"transformations-{m}-pets" for m in ("mvae", "mvae_cross"))
    for folder in (first, second):
        (folder / "evaluation").mkdir(parents=True)
    for name in ("supervised_a.keras", "supervised_b.keras", "judge.keras"):
        (first / "evaluation" / name).write_text("first")
    (second / "evaluation" / "supervised_b.keras").write_text("second")
    runs.take_networks(second, "transformations-mvae_cross")
    found = {path.name: path.read_text() for path in (second / "evaluation").iterdir()}
    assert found == {"supervised_a.keras": "first", "supervised_b.keras": "second"}
    assert list(runs.RUNS).index("transformations-mvae") < list(runs.RUNS).index(
        "transformations-mvae_cross"
    )


def test_what_is_generated_makes_a_table_with_useless_models(tmp_path):
    RunConfig("digits").write(tmp_path / "flags.cfg")
    cells = [
        ("image | label: coherence", 0.96, "%", ["image", "given label", "named right"]),
        ("image | label: Frechet distance", 275.678, "", ["image", "given label", "distance"]),
        ("image, noise: coherence", 0.084, "%", ["image", "noise", "named right"]),
        ("image, noise: variance", 1.54, "", ["image", "noise", "variance"]),
    ]
    results = {
        name: result("any", value, unit, cell=cell, place=place)
        for place, (name, value, unit, cell) in enumerate(cells)
    }
    report = {"generation": {"settings": {}, "results": dict(reversed(results.items()))}}
    (tmp_path / "evaluation.json").write_text(json.dumps(report))
    written = script("result_tables.generation")
    text = written.generation_tables([script("result_tables.kept").Result(tmp_path)], tmp_path.name)
    assert text.splitlines() == [
        "| image | named right | distance | variance |",
        "| --- | --- | --- | --- |",
        "| given label | 96.0 ± 1.2 % | 275.7 ± 0.0 | - |",
        "| noise | 8.4 ± 1.2 % | - | 1.540 ± 0.012 |",
    ]
    assert written.generation_tables([], "quickstart") == "No run yet."


def test_coherence_stands_next_to_the_distance_where_it_was_measured(tmp_path):
    RunConfig("digits").write(tmp_path / "flags.cfg")
    results = {
        "image | label": result("any", 0.96, "%"),
        "image | label: Frechet distance": result("any", 275.6, ""),
        "image, label from the prior": result("any", 0.7, "%"),
    }
    report = {"coherence": {"settings": {}, "results": results}}
    (tmp_path / "evaluation.json").write_text(json.dumps(report))
    written = script("result_tables.digits")
    text = written.coherence_table([script("result_tables.kept").Result(tmp_path)])
    assert "| 96.0 ± 1.2 % | 275.6 ± 0.0 | 70.0 ± 1.2 % | - | - | - |" in text


def imputation_table(folder, name, results):
    """Returns the tables of one run of `imputation`, of the table `name`."""
    kept = folder / f"imputation-{name}"
    kept.mkdir()
    RunConfig("table", table=f"{name}.csv").write(kept / "flags.cfg")
    (kept / "evaluation.json").write_text(json.dumps({"imputation": {"results": results}}))
    written = script("result_tables.imputation")
    return written.imputation_tables([script("result_tables.kept").Result(kept)])


def test_imputation_is_compared_with_other_imputers(tmp_path):
    calibration = "calibration error of classes, model"
    of_rows = {
        "error of numbers, model": ("model", 0.318, "sd"),
        "error of numbers, mean or mode": ("mean", 1.102, "sd"),
        "error of numbers, mean or mode less model": ("mean", 0.784, "sd"),
        "wrong classes, model": ("model", 0.5, "%"),
        "numbers inside the 90% interval, model": ("model", 0.924, "%"),
        "PIT in the central 80%, model": ("model", 0.84, "%"),
    }
    results = {name: result(*values, rows=5) for name, values in of_rows.items()}
    for name, value in (
        (calibration, 0.04),
        (f"{calibration} (of a perfectly calibrated model)", 0.03),
    ):
        results[name] = {"value": value, "standard_error": float("nan"), "examples": 400}
    text = imputation_table(tmp_path, "boys", results)
    numbers = "| boys | error of numbers | 0.318 ± 0.012 sd | - | 1.102 ± 0.012 sd | - | - | - |"
    assert numbers in text
    assert "| boys | wrong classes | 50.0 ± 1.2 % | - | - | - | - | - |" in text
    assert "| mean or mode less model |" in text
    assert "| boys | error of numbers | - | 0.784 ± 0.012 sd | - | - | - |" in text
    assert "| boys | - | - | 92.4 ± 1.2 % | - | 84.0 ± 1.2 % | - | 4.0 % | 3.0 % |" in text
    assert "Evaluated by an earlier version" not in text
    assert script("result_tables.imputation").imputation_tables([]) == "No run yet."


def test_imputation_of_earlier_versions_has_no_standard_errors(tmp_path):
    """They were between columns, or of cells as if these were independent."""
    results = {
        "error of numbers, model": result("model", 0.318, "sd"),
        "numbers inside the 90% interval, model": result("model", 0.924, "%"),
        "distance of the PIT from uniform, model": {
            **{"value": 0.1, "standard_error": float("nan"), "examples": 400},
            "histogram": [0.04] * 5 + [0.06] * 10 + [0.04] * 5,
        },
    }
    text = imputation_table(tmp_path, "boys", results)
    assert "| boys | error of numbers | 0.318 sd | - | - | - | - | - |" in text
    assert "| boys | - | - | 92.4 % | 60.0 % | 84.0 % | 92.0 % | - | - |" in text
    assert "less model" not in text and "Evaluated by an earlier version: boys." in text


def test_classes_are_predicted_from_each_subset_and_sensors_have_intervals(tmp_path):
    kept = tmp_path / "imputation-assays-cohort"
    kept.mkdir()
    RunConfig("table", table="cohort").write(kept / "flags.cfg")
    entry = {**result("model", 0.8, "%"), "cell": ["right kind", "a + b", "model"], "rows": 70}
    report = {"label_prediction": {"results": {"right kind | a + b: model": entry}}}
    (kept / "evaluation.json").write_text(json.dumps(report))
    written, made = script("result_tables.imputation"), script("result_tables.kept").Result
    text = written.prediction_tables([made(kept)])
    assert text.splitlines()[0] == "| cohort: right kind, from | complete rows / asked | model |"
    assert f"| a + b | 70 / {entry['examples']} | 80.0 ± 1.2 % |" in text
    assert written.prediction_tables([]) == "No run yet."
    sensors = tmp_path / "sensors-mvae"
    sensors.mkdir()
    RunConfig("sensors").write(sensors / "flags.cfg")
    inside = {"numbers inside the 90% interval": result("any", 0.9, "%", rows=5)}
    cells = {"wrong classes, model": result("model", 0.5, "%")}
    (sensors / "evaluation.json").write_text(json.dumps({"intervals": {"results": inside}}))
    (kept / "evaluation.json").write_text(json.dumps({"imputation": {"results": cells}}))
    text = written.imputation_tables([made(kept), made(sensors)])
    assert "| sensors (exact posterior known) | - | - | 90.0 ± 1.2 % | - | - | - | - | - |" in text


def test_a_table_is_kept_without_where_it_lay(tmp_path):
    named = script("run_results")._named
    assert named("--table=/home/me/boys.csv\n") == "--table=boys.csv\n"
    assert named("--epochs=3\n") == "--epochs=3\n"


def test_the_readme_compares_what_the_benchmarks_left():
    root = RESULTS.parent
    table = script("result_tables.comparison").comparison_table(root / "benchmarks" / "results")
    assert f"<!-- comparison -->\n{table}\n<!-- /comparison -->" in (root / "README.md").read_text()
