"""Writes sets of tables as `--experiment=table` reads them: files, and a schema next to them.

`python results/table_sets.py SETS OUT [NAME …]` takes a folder of sets, SETS/NAME, each with
`samples.csv.gz` (the split, labels, and columns that are given), a file a modality, and a
`schema.json` that says of each column its kind and the order of its categories. It writes
OUT/NAME, a folder of files, and OUT/NAME.schema.json. Then

    python results/run_results.py --data_dir=DIR --table=OUT/NAME --schema=OUT/NAME.schema.json ...

Types of numbers of a clinical table (`real`, `positive`, `count`) are inferred from the training
rows; classes and their order, and the type of a whole assay, are the set's. Clinical tables are one
modality, as docs/tables.md says why; assays one each, and a class that they are to predict another.
"""

import argparse
import dataclasses
import json
import pathlib

import pandas as pd

from tf_mvae.data.schema import Schema
from tf_mvae.data.schema_inference import infer_schema

_CLASSES = ("binary", "categorical", "ordinal")
_ALIKE = {"continuous": "real", "count": "count", "binary": "binary"}
# Classes that assays are to predict: a modality each.
_LABELS = {"cll": "IGHV", "tcga_brca": "subtype"}
# Columns of `samples.csv.gz` that are given to the model, and those that multiply counts.
_COVARIATES = {"citeseq": ["batch"]}
_SIZE_FACTORS = {"citeseq": "total_rna"}


def read_set(folder: pathlib.Path) -> tuple[pd.DataFrame, dict[str, list[str]], dict, pd.DataFrame]:
    """Returns the cells, by modality its columns, by column its entry, and the samples."""
    described = json.loads((folder / "schema.json").read_text("utf8"))
    samples = pd.read_csv(folder / described["samples"]["file"], index_col="sample")
    parts, entries = {}, {}
    for name, modality in described["modalities"].items():
        part = pd.read_csv(folder / modality["file"], index_col="sample").reindex(samples.index)
        parts[name] = part
    counted = pd.Series([c for part in parts.values() for c in part.columns]).value_counts()
    twice = set(counted.index[counted > 1])
    for name, modality in described["modalities"].items():
        renamed = {c: f"{name} {c}" if c in twice else c for c in parts[name].columns}
        parts[name] = parts[name].rename(columns=renamed)
        own = modality.get("schema", {})
        # Columns of one kind have one type, which is not guessed column by column.
        alike = {"kind": modality["kind"], "type": _ALIKE.get(modality["kind"])}
        entries |= {new: own.get(old, alike) for old, new in renamed.items()}
    if all(modality["kind"] == "mixed" for modality in described["modalities"].values()):
        parts = {"table": pd.concat(parts.values(), axis=1)}
    label = _LABELS.get(folder.name)
    if label in samples.columns:
        parts[label] = samples[[label]]
        entries[label] = described["samples"]["schema"][label]
    elif label:
        (owner,) = (name for name, part in parts.items() if label in part.columns)
        parts = {**parts, owner: parts[owner].drop(columns=label), label: parts[owner][[label]]}
    modalities = {name: list(part.columns) for name, part in parts.items()}
    return pd.concat(parts.values(), axis=1), modalities, entries, samples


def schema_of(
    frame: pd.DataFrame, modalities: dict[str, list[str]], entries: dict, given: dict
) -> Schema:
    """Returns the schema of training rows, with the classes that a set names."""
    types = {name: e["kind"] for name, e in entries.items() if e["kind"] in _CLASSES}
    types |= {name: e["type"] for name, e in entries.items() if e.get("type")}
    schema, left_out = infer_schema(frame, modalities, types, **given)
    for name, reason in left_out.items():
        print(f"  without {name}: {reason}")
    columns = {
        name: dataclasses.replace(column, categories=tuple(entries[name]["categories"]))
        if "categories" in entries.get(name, {})
        else column
        for name, column in schema.columns.items()
    }
    return dataclasses.replace(schema, columns=columns)


def write_set(folder: pathlib.Path, out: pathlib.Path) -> None:
    """Writes a set's files and its schema."""
    frame, modalities, entries, samples = read_set(folder)
    name = folder.name
    given = {"covariates": _COVARIATES.get(name, []), "size_factor": _SIZE_FACTORS.get(name)}
    extra = [*given["covariates"], *([given["size_factor"]] if given["size_factor"] else [])]
    train = (samples["split"] == "train").to_numpy()
    schema = schema_of(frame.join(samples[extra])[train], modalities, entries, given)
    (out / name).mkdir(parents=True, exist_ok=True)
    samples[["split", *extra]].to_csv(out / name / "samples.csv.gz")
    for modality, columns in modalities.items():
        part = frame[columns].dropna(how="all")
        part.to_csv(out / name / f"{modality}.csv.gz", index_label="sample")
    schema.save(out / f"{name}.schema.json")
    print(f"{name}: {len(frame)} rows, {len(schema.columns)} columns")


def main() -> None:
    """Writes the sets that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sets", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("names", nargs="*", metavar="NAME")
    arguments = parser.parse_args()
    found = sorted(path.parent.name for path in arguments.sets.glob("*/samples.csv.gz"))
    for name in arguments.names or found:
        write_set(arguments.sets / name, arguments.out)


if __name__ == "__main__":
    main()
