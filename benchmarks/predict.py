"""What can be foreseen, what reading the model costs, and what states add.

Run: python benchmarks/predict.py [telco] [shoppers] [simulate] [completejourney] [--data DIR] [--budget SECONDS]
     [--customers 1500]
Plain tables in five folds; events on later time and other customers. All models of a table are judged on the same rows
in the same run. Data from ``$SOJOURN_DATA``; where a set is absent its table says so.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv

from sojourn.events.read import read_events
from sojourn.pages.words.predictions import say_added
from sojourn.playbook.load import load_playbook
from sojourn.playbook.objects import Playbook
from sojourn.predict.choose import Choice, compare_candidates, plain_folds, price_of_reading, say_price
from sojourn.predict.encoding import learn_encoding, read_label
from sojourn.predict.from_events import choose_instants, fit_states_until, predict_outcomes
from sojourn.predict.leaks import find_leaks
from sojourn.predict.next import predict_next_state
from sojourn.simulation.customers import START, simulate

ROOT = Path(__file__).resolve().parent.parent
PLAIN = {
    "telco": ("telco/Telco-Customer-Churn.csv.gz", "Churn", ((),)),
    "shoppers": ("online_shoppers/purchase_intention.csv.gz", "revenue", ((), ("page_values",))),
}


def print_choice(title: str, choice: Choice) -> None:
    print(f"\n{title}\n\n| model | log loss | AUC | Brier | calibration error | right | s | |")
    print("|---|---|---|---|---|---|---|---|")
    for t in sorted(choice.tried, key=lambda t: t.candidate.rank):
        if t.scores is None:
            print(f"| {t.name} | – | – | – | – | – | – | {t.why_not} |")
            continue
        s = t.scores
        note = ", ".join(w for w, n in (("deployed", choice.deployed), ("best", choice.best)) if n == t.name)
        print(
            f"| {t.name} | {s.log_loss:.4f} ± {t.se_log_loss:.4f} | {s.auc:.4f} ± {t.se_auc:.4f} | {s.brier:.4f} | "
            f"{s.calibration_error:.3f} | {100 * s.accuracy:.1f} % | {t.seconds:.0f} | {note} |"
        )
    print(f"\n{say_price(price_of_reading(choice))}", flush=True)


def judge_plain(name: str, data: Path, budget: float) -> list[dict[str, Any]]:
    file, label, without = PLAIN[name]
    table = pyarrow.csv.read_csv(data / file)
    told = []
    for left_out in without:
        encoding = learn_encoding(table, [c for c in table.column_names if c != label and c not in left_out])
        y, _ = read_label(table, label)
        x = encoding.encode(table)
        choice = compare_candidates(x, y, plain_folds(y.astype(np.int64), 0), budget_s=budget)
        print_choice(f"{name}{' without ' + ', '.join(left_out) if left_out else ''}", choice)
        leaks = [leak.why for leak in find_leaks(x, y, encoding)]
        print("Leaks: " + ("; ".join(leaks) or "none"), flush=True)
        told.append({"data": name, "without": left_out, "price": price_of_reading(choice), "leaks": leaks})
    return told


def judge_events(
    name: str, events: pa.Table, book: Playbook, budget: float, days: float, outcomes: Sequence[str]
) -> Any:
    start, told = process_time(), []
    found = predict_outcomes(events, book, outcomes=outcomes, horizon_s=days * 86_400, budget_s=budget * len(outcomes))
    for one in found:
        if one.prediction is None or one.added is None:
            print(f"\n{name}, {one.outcome}: {one.why_not}")
            continue
        print_choice(
            f"{name}, {one.outcome} within {days:g} days ({one.prediction.n_rows:,} rows)", one.prediction.choice
        )
        print_inputs(one.added)
        print(say_added(one.added), flush=True)
        told.append({"data": name, "outcome": one.outcome, "inputs": one.added.to_pylist()})
    print(f"CPU {process_time() - start:.0f} s", flush=True)
    return told


def print_inputs(table: pa.Table) -> None:
    print("\n| inputs | log loss | AUC | gain in log loss | gain in AUC |\n|---|---|---|---|---|")
    for row in table.to_pylist():
        told = [f"{row[name]:.4f} ± {row[f'{name}_se']:.4f}" for name in ("log_loss", "auc")]
        told += [f"{row[f'{name}_gain']:+.4f} ± {row[f'{name}_gain_se']:.4f}" for name in ("log_loss", "auc")]
        print(f"| {row['inputs']} | {' | '.join(told)} |")


def judge_next(name: str, events: pa.Table, book: Playbook, truth: pa.Table | None = None) -> None:
    cuts = choose_instants(events["event_at"][0].as_py(), events["event_at"][-1].as_py(), 7 * 86_400.0)
    assert cuts is not None
    states = fit_states_until(events, book, cuts.test, np.random.default_rng(0))
    found = predict_next_state(events, book, cuts, states, truth=truth)
    print(f"\n{name}, state in 7 days{' (the true one)' if truth is not None else ''}\n")
    print("| inputs | log loss | right | gain in log loss |\n|---|---|---|---|")
    for row in found.compared.to_pylist():
        print(
            f"| {row['inputs']} | {row['log_loss']:.4f} ± {row['log_loss_se']:.4f} | {100 * row['right']:.1f} % | "
            f"{row['log_loss_gain']:+.4f} ± {row['log_loss_gain_se']:.4f} |"
        )
    print(flush=True)


def read_journey(data: Path) -> tuple[pa.Table, Playbook]:
    folder = ROOT / "examples" / "completejourney"
    spec = importlib.util.spec_from_file_location("prepare", folder / "prepare.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    book = load_playbook(folder / "playbook.yaml")
    rows = module.prepare(data / "completejourney")
    return read_events(rows, book, now=rows["at"][-1].as_py() + timedelta(days=1)).events, book


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("which", nargs="*", default=["telco", "shoppers", "simulate", "completejourney"])
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("SOJOURN_DATA", "../shared/data")))
    parser.add_argument("--budget", type=float, default=600.0, help="seconds a table, after which no model is begun")
    parser.add_argument("--customers", type=int, default=1500)
    asked = parser.parse_args()
    told: list[Any] = []
    for which in asked.which:
        folder = {"shoppers": "online_shoppers"}.get(which, which)
        if which != "simulate" and not (asked.data / folder).is_dir():
            print(f"{which} is left out: there is no {asked.data / folder}; name the data's folder with --data DIR.")
        elif which in PLAIN:
            told += judge_plain(which, asked.data, asked.budget)
        elif which == "simulate":
            book, world = load_playbook("shop"), simulate(asked.customers, days=180, seed=5)
            events = read_events(world.events, book, now=START + timedelta(days=181)).events
            told += judge_events(which, events, book, asked.budget, 28, ["churn", "conversion"])
            names = ["at" if name == "from_at" else name for name in world.truth.column_names]
            judge_next(which, events, book)
            judge_next(which, events, book, world.truth.rename_columns(names))
        else:
            events, book = read_journey(asked.data)
            silent = [o.name for o in book.outcomes if o.silence_s is not None][:1]
            bought = [o.name for o in book.outcomes if o.event is not None][:1]
            told += judge_events(which, events, book, asked.budget, 28, [*silent, *bought])
            judge_next(which, events, book)
    print(json.dumps({"benchmark": "predict", "tables": told}))


if __name__ == "__main__":
    main()
