"""The page of predictions, and segment by state in a run: true to their numbers, inert, whole without some of them."""

from __future__ import annotations

import math
import re
import shutil
import subprocess
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.metrics import roc_auc_score

from sojourn.pages.figures.predictions import draw_ranking, draw_signals, draw_warning, wilson_interval
from sojourn.pages.figures.segments import draw_choice, draw_hybrid, draw_numbers
from sojourn.pages.predictions import draw_predictions, render_predictions
from sojourn.pages.words.segments import NOTHING, find_telling_cells, say_hybrid
from sojourn.playbook.load import load_playbook
from sojourn.predict.outcome import describe_prediction, predict_table
from sojourn.predict.scores import set_threshold, trace_curve
from sojourn.predict.value.purchases import merge_days
from sojourn.segments import grid
from sojourn.segments.grid import HYBRID, LIFECYCLE, NONE_YET, VALUE, cross_segments, read_purchases

HOSTILE = "</script><script>document.title='owned'</script>"
BROWSER = next((b for name in ("chromium", "chromium-browser", "google-chrome") if (b := shutil.which(name))), None)
NOW = datetime(2025, 6, 30, 12, tzinfo=UTC)


# -- the numbers ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [60, 5_000])
def test_the_curve_has_the_area_and_the_profit_that_others_count(n):
    rng = np.random.default_rng(n)
    p = np.round(rng.random(n), 2 if n == 60 else 6)
    happened = rng.random(n) < p
    curve = trace_curve(p, happened, 1.0, 4.0)
    assert curve.num_rows <= 121
    area = np.trapezoid(curve["gain"].to_numpy(), curve["false_p"].to_numpy())
    assert area == pytest.approx(roc_auc_score(happened, p), abs=1e-9 if n == 60 else 2e-3)
    limit = set_threshold(p, happened, 1.0, 4.0)
    assert curve["profit"].to_pylist()[-1] == pytest.approx(limit.profit_all)
    assert max(curve["profit"].to_pylist()) <= limit.profit_best + 1e-12
    for row in curve.to_pylist()[1:]:
        acted = p >= row["p"]
        assert row["profit"] == pytest.approx((4.0 * happened[acted].sum() - acted.sum()) / n)
        assert row["gain"] == pytest.approx(happened[acted].sum() / happened.sum())


def test_the_interval_is_that_of_statsmodels():
    from statsmodels.stats.proportion import proportion_confint

    for share, n in ((0.0, 20), (0.3, 50), (1.0, 7)):
        expected = proportion_confint(round(share * n), n, method="wilson")
        assert wilson_interval(round(share * n) / n, n) == pytest.approx(expected, abs=1e-6)


# -- the page ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def card():
    rng = np.random.default_rng(0)
    visits = rng.normal(size=500)
    left = np.where(rng.random(500) < 1 / (1 + np.exp(-2 * visits)), "yes", "no")
    table = pa.table({HOSTILE: visits, "noise": rng.normal(size=500), "left": left})
    found, _ = predict_table(table, "left", budget_s=0)
    return describe_prediction(found)


def test_the_page_is_whole_inert_and_loads_nothing(card):
    signals = [{"column": HOSTILE, "lost": -1.0, "stayed": 0.1, "difference": -1.1}]
    warning = {"silence_days": 28.0, "lead_days": 7.0, "warned": 0.4, "rule_days": 20.0, "rule_lead_days": math.nan,
               "rule_warned": 0.0, "false_alarms": 0.1, "rule_false_alarms": 0.1, "signals": signals}  # fmt: skip
    compared = [{"inputs": "states alone", "log_loss": 0.5, "log_loss_se": 0.1, "right": 0.8}]
    facts = {
        "outcomes": [card, {"outcome": HOSTILE, "why_not": "the history is too short"}],
        "ahead": {"why_not": {"next_time": "too few"}, "early_warning": warning,
                  "next_state": {"horizon_s": 604_800.0, "compared": compared}},
    }  # fmt: skip
    page = render_predictions(facts, "It warns.")
    assert render_predictions(facts, "It warns.") == page
    assert HOSTILE not in page
    bare = re.sub(r"<script.*?</script>", "", page, flags=re.S)
    assert not re.search(r"(src|href)=\"(?!#)", bare)
    assert "default-src &#39;none&#39;" in bare
    for words in ("The likeliest tenth holds", "Acting pays from", "In use: logistic regression", "It warns.",
                  "Not predicted: the history is too short", "Not known: too few"):  # fmt: skip
        assert words in bare
    assert bare.count("<figure") == len(draw_predictions(facts)) == 8


def test_figures_say_what_the_card_says(card):
    curve = card["curve"]
    figure = draw_ranking(card)
    assert list(figure.data[0].y) == [r["gain"] for r in curve]
    assert list(figure.data[4].x) == [r["false_p"] for r in curve]
    assert [trace.visible for trace in figure.data] == [True, True, False, False, False, False]


def test_nothing_to_draw_is_said():
    empty = {"signals": [{"column": "a", "lost": None, "stayed": None, "difference": math.nan}]}
    assert draw_signals(empty).layout.meta["is_empty"]
    blind = {"lead_days": math.nan, "warned": 0.0, "rule_days": 9.0, "rule_lead_days": math.nan, "rule_warned": 0.0,
             "false_alarms": 0.1, "rule_false_alarms": 0.1}  # fmt: skip
    assert "nan" not in str(draw_warning(blind).layout.meta)


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="no chromium or chrome on this machine")
def test_a_browser_draws_every_figure_and_runs_nothing_else(card, tmp_path):
    facts = {"outcomes": [card | {"outcome": HOSTILE}]}
    (tmp_path / "predictions.html").write_text(render_predictions(facts), encoding="utf-8")
    done = subprocess.run(
        [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
         f"--user-data-dir={tmp_path / 'profile'}", "--enable-logging=stderr", "--virtual-time-budget=20000",
         "--dump-dom", (tmp_path / "predictions.html").as_uri()],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    assert not [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    assert done.stdout.count('data-drawn="yes"') == len(draw_predictions(facts)) == 5
    assert "<title>What customers will do next</title>" in done.stdout


# -- how many segments ------------------------------------------------------------------------------------


def test_criteria_are_drawn_from_worst_to_best_and_the_taken_number_stands_out():
    rows = [
        {"method": method, "k": k, "silhouette": s, "inertia": 1.0, "elbow": s, "bic": -100 * s, "stability": s,
         "score": s, "score_se": 0.1, "is_chosen": k == 3}
        for method in ("kmeans", "ward") for k, s in ((2, 0.2), (3, 0.7), (4, 0.45))
    ]  # fmt: skip
    figure = draw_choice(pa.Table.from_pylist(rows))
    for trace in figure.data[:4]:  # BIC too: less is better, so it is turned round
        assert list(trace.y) == pytest.approx([0, 1, 0.5])
    assert int(np.argmax(figure.data[4].marker.size)) == 1
    assert [trace.visible for trace in figure.data] == [True] * 5 + [False] * 5
    numbers = pa.table(
        {"k": [2, 3], "explained_p": [0.1, 0.12], "below_best_se": [0.03, 0.0], "is_chosen": [True, False]}
    )
    title = draw_numbers(numbers).layout.meta["title"]
    assert title.startswith("2 segments explain 10")
    assert "3 would explain 12" in title


# -- segment by state in a run ----------------------------------------------------------------------------


def bought(n: int, seed: int):
    rng = np.random.default_rng(seed)
    who = rng.integers(0, n, 4 * n)
    names = pa.array([f"c{i}" for i in range(n)])
    return merge_days(names, who, 20_269 - rng.integers(0, 300, 4 * n), rng.exponential(40.0, 4 * n))


def people(states) -> pa.Table:
    return pa.table({"customer_id": [f"c{i}" for i in range(len(states))], "state": pa.array(states, pa.string())})


def test_every_customer_with_a_state_is_in_one_cell_of_each_segmentation():
    book, rng = load_playbook("shop"), np.random.default_rng(1)
    names = [*book.state_names, "state_6", None]
    states = [names[i] for i in rng.integers(0, len(names), 800)]
    found = cross_segments(bought(500, 1), people(states), book, NOW, rng=rng).to_pandas()
    known = pd.Series(states).dropna()
    for kind in (LIFECYCLE, VALUE):
        own = found[found["segmentation"] == kind]
        assert own["n_customers"].sum() == len(known)
        assert own.groupby("state")["n_customers"].sum().to_dict() == known.value_counts().to_dict()
        sums = own.groupby("segment")["share_p"].sum()
        assert np.allclose(sums, 1)
        none = own[own["segment"] == NONE_YET]["n_customers"].sum()
        never = set(range(500)) - set(bought(500, 1).customer.tolist())
        assert none == sum(states[i] is not None for i in [*never, *range(500, 800)])
        assert list(dict.fromkeys(own["state"])) == [name for name in names if name is not None]


def test_chance_is_not_told_and_what_is_planted_is():
    book, rng = load_playbook("shop"), np.random.default_rng(7)
    print("seed 7")
    purchases = bought(600, 7)
    told = 0
    for _ in range(20):
        table = cross_segments(
            purchases, people(list(rng.choice(book.state_names, 900))), book, NOW, rng=rng
        )  # fmt: skip
        told += say_hybrid(table) != [NOTHING]
    assert told <= 4  # about 80 cells each, beyond three standard errors on one side
    fading = [book.state_names[-1] if i >= 600 else str(rng.choice(book.state_names)) for i in range(900)]
    table = cross_segments(purchases, people(fading), book, NOW, rng=rng)
    first = find_telling_cells(table, LIFECYCLE)[0]
    assert (first["segment"], first["state"]) == (NONE_YET, book.state_names[-1])
    figure = draw_hybrid(table, book.state_names)
    assert NONE_YET in figure.layout.meta["title"]


def test_large_runs_are_sampled_and_without_purchases_it_says_why(monkeypatch):
    book = load_playbook("shop")
    monkeypatch.setattr(grid, "MOST_CUSTOMERS", 100)
    states = [book.state_names[0]] * 900
    one, two = (
        cross_segments(bought(600, 3), people(states), book, NOW, rng=np.random.default_rng(5)) for _ in range(2)
    )
    assert one.equals(two)
    assert sum(one["n_customers"].to_pylist()) == 200
    events = pa.table({"customer_id": ["a"], "event_at": [NOW], "event_class": ["product_view"], "m_revenue": [1.0]})
    assert read_purchases(events, book) is None
    table = cross_segments(None, people(states), book, NOW, rng=np.random.default_rng(5))
    assert table.schema == HYBRID
    assert "nobody has bought" in say_hybrid(table)[0]
    assert draw_hybrid(table, book.state_names).layout.meta["is_empty"]
