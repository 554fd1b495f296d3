"""What it costs to fit models of value, beside lifetimes and pymc-marketing where they are installed.

Run: python benchmarks/value.py [--data DIR] [--repeats 5]
Data: CDNOW, 2,357 customers, 39 weeks, from ``$SOJOURN_DATA/cdnow``. Least CPU seconds of the repeats, one after the
other in this process. Equal results first: a reference whose log-likelihood is more than 0.1 from ours is told so.
"""

from __future__ import annotations

import argparse
import gzip
import importlib
import json
import os
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from _timing import time_best

from sojourn.predict.value.bgnbd import MODEL as BG_NBD
from sojourn.predict.value.bgnbd import rows_likelihood as bg_rows
from sojourn.predict.value.likelihood import Likelihood, fit_likelihood
from sojourn.predict.value.pareto_nbd import MODEL as PARETO_NBD
from sojourn.predict.value.pareto_nbd import rows_likelihood as pareto_rows
from sojourn.predict.value.purchases import Histories, merge_days, trace_histories

EPOCH = date(1970, 1, 1).toordinal()
CUT = date(1997, 9, 30).toordinal() - EPOCH
ROWS = {"BG/NBD": bg_rows, "Pareto/NBD": pareto_rows}
REFERENCES = {"BG/NBD": "BetaGeoFitter", "Pareto/NBD": "ParetoNBDFitter"}


def read_cdnow(folder: Path) -> Histories:
    lines = gzip.decompress((folder / "cdnow" / "CDNOW_sample.txt.gz").read_bytes()).decode().splitlines()
    fields = [line.split() for line in lines if line.strip()]
    who = pa.array([f[1] for f in fields]).dictionary_encode()
    day = np.array([datetime.strptime(f[2], "%Y%m%d").date().toordinal() - EPOCH for f in fields])
    spent = np.array([float(f[4]) for f in fields])
    return trace_histories(merge_days(who.dictionary, who.indices.to_numpy().astype(np.int64), day, spent), CUT)


def fit_ours(model: Likelihood, rows: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    distinct, counts = np.unique(rows, axis=1, return_counts=True)
    weights = counts.astype(float)
    return fit_likelihood(model, distinct, weights, float(weights @ distinct[2] / weights.sum())).array


def fit_lifetimes(name: str, rows: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    fitter = getattr(importlib.import_module("lifetimes"), REFERENCES[name])(penalizer_coef=0.0)
    return np.asarray(fitter.fit(*rows).params_, float)


def fit_pymc(rows: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    import pandas as pd

    clv = importlib.import_module("pymc_marketing.clv")
    x, t, age = rows
    people = pd.DataFrame({"customer_id": np.arange(len(x)), "frequency": x, "recency": t, "T": age})
    model = clv.BetaGeoModel(data=people)
    model.fit(method="map", progressbar=False)
    return np.array([float(model.fit_result[name].mean()) for name in ("r", "alpha", "a", "b")])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("SOJOURN_DATA", "../shared/data")))
    parser.add_argument("--repeats", type=int, default=5)
    asked = parser.parse_args()
    if not (asked.data / "cdnow").is_dir():
        print(f"value.py needs the CDNOW data: there is no {asked.data / 'cdnow'}; name their folder with --data DIR.")
        return
    known = read_cdnow(asked.data)
    rows = np.stack([known.n_repeat, known.recency_days / 7, known.age_days / 7])
    told: list[dict[str, Any]] = []
    for model in (BG_NBD, PARETO_NBD):
        ours, values = time_best(lambda model=model: fit_ours(model, rows), asked.repeats)  # type: ignore[misc]
        best = float(ROWS[model.name](values, rows)[0].sum())
        told.append({"model": model.name, "library": "sojourn", "cpu_s": ours, "ratio": 1.0, "log_likelihood": best})
        works = {"lifetimes": lambda name=model.name: fit_lifetimes(name, rows)}
        if model is BG_NBD:
            works["pymc-marketing"] = lambda: fit_pymc(rows)
        for library, work in works.items():
            row: dict[str, Any] = {"model": model.name, "library": library}
            try:
                seconds, found = time_best(work, min(asked.repeats, 3))
                reached = float(ROWS[model.name](found, rows)[0].sum())
                row |= {"cpu_s": seconds, "ratio": seconds / ours, "log_likelihood": reached}
            except Exception as error:  # a reference that is absent or fails is a finding, not an end
                row["why_not"] = f"{type(error).__name__}: {error}".splitlines()[0][:80]
            told.append(row)
    print("| model | library | CPU s | times ours | log-likelihood |\n|---|---|---|---|---|")
    for row in told:
        if "why_not" in row:
            print(f"| {row['model']} | {row['library']} | – | – | {row['why_not']} |")
        else:
            numbers = f"{row['cpu_s']:.3f} | {row['ratio']:.2f} | {row['log_likelihood']:.2f}"
            print(f"| {row['model']} | {row['library']} | {numbers} |")
    print(json.dumps({"benchmark": "value", "rows": told}))


if __name__ == "__main__":
    main()
