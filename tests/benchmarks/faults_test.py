"""The table of faults keeps what was tried on other machines."""

import json


def row(fault, tried=1, **more):
    return {"fault": fault, "tried": tried, "hit": tried, "came out": "well", "lost": 0, **more}


def test_rows_that_were_not_tried_replace_none(scripts, tmp_path):
    import faults

    path = tmp_path / "faults.json"
    old = {"flags": ["--old"], "seed": 3, "faults": [row("disk full"), row("SIGTERM", 2)]}
    path.write_text(json.dumps(old))
    faults.write(path, [row("disk full", 0), row("SIGTERM", 5), row("other", 0)], seed=7)
    assert json.loads(path.read_text()) == {
        "faults": [
            row("disk full", seed=3, flags=["--old"]),
            row("SIGTERM", 5, seed=7, flags=faults.FLAGS),
        ]
    }
    assert "| disk full | 1 | 1 | well | 0 |" in path.with_suffix(".md").read_text()
    faults.write(tmp_path / "new.json", [row("SIGTERM", 5)], seed=7)
    assert [one["seed"] for one in faults.stored(tmp_path / "new.json")] == [7]
