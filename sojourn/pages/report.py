"""What the report says: findings in sentences, a card per state, caveats, data quality. Plain values, unescaped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from math import exp, isfinite
from typing import TYPE_CHECKING, Any

import pyarrow.compute as pc

from sojourn.pages.figures import color_states, count_now_and_before
from sojourn.pages.gaps import fill_gaps, mark_sections
from sojourn.pages.html import embed_figure, fill_page
from sojourn.pages.words import (
    Words,
    find_marks,
    find_pace_changes,
    find_signals,
    find_sure_journeys,
    find_sure_triggers,
    say_change,
    say_cohorts,
    say_count,
    say_date,
    say_difference,
    say_duration,
    say_few,
    say_growths,
    say_hybrid,
    say_instant,
    say_integer,
    say_journey,
    say_leaving,
    say_list,
    say_mark,
    say_moments,
    say_number,
    say_pace_change,
    say_share,
    say_signal,
    say_standing,
    say_state,
    say_trigger,
    say_values,
    say_what_to_watch,
    shorten,
    strength_of,
)
from sojourn.transitions.velocity import find_standings, find_trends

if TYPE_CHECKING:
    from sojourn.pages.results import Results

MOST_STATES_SAID = 6
UNSURE_P = 0.6
MANY_ROWS = 10
NAMED = "Not in the playbook: found in the data, and named by a person."
UNNAMED = "Not in the playbook: found in the data, and still to be named by a person."


def write_page(results: Results) -> Words:
    """Everything the report's template prints, as nested plain values; texts are not escaped yet."""
    run, book = results.run, results.playbook
    now = datetime.fromisoformat(run["now"])
    counts, before = count_now_and_before(results)
    cards = [write_card(results, name, counts, before) for name in counts]
    colors = color_states(list(results.model["states"]))
    return {
        "left_out": mark_sections(results),
        "title": f"Who is in which state: {shorten(book.name, 60)}",
        "about": book.about,
        "as_of": say_instant(now),
        "facts": write_facts(results, counts, now),
        "findings": write_findings(results, counts, before),
        "cards": cards,
        "colors": list(colors.values()),
        "n_people": say_few(len(results.examples)).capitalize(),
        "people": [write_person(results, i, colors, now) for i in range(len(results.examples))],
        "unsure": write_unsure(results),
        "trust": write_trust(results),
        "alignment": write_alignment(results.model),
        "quality": write_quality(results),
        "warnings": list(run.get("warnings") or []),
        "made": write_making(results),
        "journeys": [say_journey(r) for r in find_sure_journeys(results.moves["journeys"])],
        "unjudged": [f"{r['outcome']}: {r['why_not']}." for r in results.moves["journeys"].to_pylist() if r["why_not"]],
        "gaps": write_gaps(results),
        "hybrid": say_hybrid(results.moves["hybrid"]),
        "precursors_more": [say_signal(r) for r in find_signals(results.moves["precedes"], more=True)[:6]],
        "precursors_less": [say_signal(r) for r in find_signals(results.moves["precedes"], more=False)[:4]],
        "moments": say_moments(results.moves["moments"]),
        "targets": [say_standing(s) for s in find_standings(results.moves["velocity"], book.targets)],
        "pace_changes": [say_pace_change(r) for r in find_pace_changes(results.moves["velocity_changes"])[:6]],
        "cohorts": [say_cohorts(r) for r in find_trends(results.moves["velocity_cohorts"])[:4]],
        "values": say_values(results.moves["values"]),
        "growth": say_growths(results.moves["growth"]),
        "triggers_touch": [say_trigger(r) for r in find_sure_triggers(results.moves["triggers"], kind="touch")[:6]],
        "triggers_own": [say_trigger(r) for r in find_sure_triggers(results.moves["triggers"], kind="own")[:6]],
    }


def write_facts(results: Results, counts: Mapping[str, int], now: datetime) -> list[Words]:
    """The few large numbers at the top: customers, events, moves in the last seven days, certainty."""
    week_ago = int(now.timestamp() * 1e6) - 7 * 86_400_000_000
    moved_at = results.transitions["at"].cast("int64")
    moves = pc.sum(pc.greater(moved_at, week_ago)).as_py() or 0
    sure = pc.mean(results.customers["state_p"]).as_py()
    return [
        {"number": say_integer(sum(counts.values())), "what": "customers in a state"},
        {"number": say_integer(results.run["rows"]["accepted"]), "what": "events used"},
        {"number": say_integer(moves), "what": "moves in the last seven days"},
        {"number": say_share(sure), "what": "average certainty of a customer's state"},
    ]


# --- findings ---------------------------------------------------------------------------------------------------


def write_findings(results: Results, counts: Mapping[str, int], before: Mapping[str, int]) -> list[str]:
    """What to know first, in sentences: states by size, then the clearest signs before moves."""
    if not sum(counts.values()):
        return ["No customer has a state yet: none of the accepted events is a customer's own."]
    ranked = sorted((name for name in counts if counts[name]), key=lambda name: -counts[name])
    found = [say_state(results, name, counts, before) for name in ranked[:MOST_STATES_SAID]]
    rest = ranked[MOST_STATES_SAID:]
    if rest:
        found.append(f"The other {len(rest)} states hold {say_count(sum(counts[s] for s in rest), 'customer')}.")
    empty = [name for name in counts if not counts[name]]
    if empty:
        found.append(f"Nobody is in {say_list(empty)} now.")
    signals = find_signals(results.moves["precedes"], more=True)
    seen: set[tuple[str, str]] = set()
    for r in signals:
        if (r["from_state"], r["to_state"]) not in seen and len(seen) < 2:
            seen.add((r["from_state"], r["to_state"]))
            found.append(say_signal(r))
    return found + say_what_to_watch(results)


# --- states -----------------------------------------------------------------------------------------------------


def write_card(results: Results, name: str, counts: Mapping[str, int], before: Mapping[str, int]) -> Words:
    """One state's card: what people wrote about it and what the data say."""
    written = next((s for s in results.playbook.states if s.name == name), None)
    named = (results.model.get("names") or {}).values()
    total = sum(counts.values())
    return {
        "name": name,
        "place": list(counts).index(name),
        "number": say_integer(counts[name]),
        "share": say_share(counts[name] / total) if total else say_share(0.0),
        "percent": 100 * counts[name] / total if total else 0.0,
        "change": say_change(counts[name] - before.get(name, 0)),
        "leaving": say_leaving(results, name),
        "about": written.about if written else NAMED if name in named else UNNAMED,
        "job": written.job if written else "",
        "anxieties": list(written.anxieties) if written else [],
        "creative": written.creative if written else "",
        "channels": list(written.channels) if written else [],
        "marks": [
            {"words": say_mark(r), "percent": round(100 * strength_of(r))}
            for r in find_marks(results.fingerprints, name, 4)
        ],
    }


def write_gaps(results: Results) -> list[str]:
    """What the playbook does not cover, a sentence per state and kind of gap."""
    gaps: dict[tuple[str, str], list[str]] = {}
    for r in results.moves["channels"].to_pylist():
        if r["gap"]:
            gaps.setdefault((r["state"], r["gap"]), []).append("" if r["kind"] == "creative" else r["what"])
    return [f"{state}: {gap}" + (f" ({say_list(what)})." if any(what) else ".") for (state, gap), what in gaps.items()]


# --- single customers -------------------------------------------------------------------------------------------


def write_person(results: Results, place: int, colors: Mapping[str, str], now: datetime) -> Words:
    """One example customer: where they are, since when, how sure that is, and why."""
    who = results.examples[place]["customer_id"][0].as_py() if results.examples[place].num_rows else None
    found = results.customers.filter(pc.equal(results.customers["customer_id"], who)).slice(0, 1).to_pylist()
    row = found[0] if found else {}
    state, since = row.get("state"), row.get("since_at")
    if state is None or since is None:
        return {"name": who or "", "state": "", "place": 0, "says": "This customer has no state.", "reasons": []}
    says = (
        f"In {state} since {say_date(since, year=True)} ({say_duration((now - since).total_seconds())}), "
        f"with {say_share(row['state_p'])} certainty"
    )
    says += f"; {row['runner_up']} comes next." if row.get("runner_up") else "."
    reasons = [r for r in row.get("reasons") or [] if r["weight"] is not None and abs(r["weight"]) >= 0.05]
    most = max((abs(r["weight"]) for r in reasons), default=1.0) or 1.0
    return {
        "name": who,
        "state": state,
        "place": list(colors).index(state) if state in colors else 0,
        "says": says,
        "against": row.get("runner_up") or "the next likely state",
        "reasons": [
            {
                "what": r["what"],
                "weight": say_difference(r["weight"]),
                "percent": round(50 * abs(r["weight"]) / most, 1),
                "is_for": r["weight"] >= 0,
            }
            for r in reasons
        ],
    }


# --- trust ------------------------------------------------------------------------------------------------------


def write_unsure(results: Results) -> str:
    """How many customers the model is unsure of, and between which states, in a sentence."""
    table = results.customers.select(["state", "state_p", "runner_up"]).filter(pc.is_valid(results.customers["state"]))
    unsure = table.filter(pc.less(table["state_p"], UNSURE_P))
    if not table.num_rows:
        return "No customer has a state."
    if not unsure.num_rows:
        return f"The model is at least {say_share(UNSURE_P)} sure of every customer's state."
    share = say_share(unsure.num_rows / table.num_rows)
    one = unsure.num_rows == 1
    text = (
        f"{say_count(unsure.num_rows, 'customer')} ({share}) {'is' if one else 'are'} in a state that the model holds "
    )
    text += f"less than {say_share(UNSURE_P)} likely"
    pairs: dict[tuple[str, str], int] = {}
    for r in unsure.select(["state", "runner_up"]).to_pylist():
        if r["runner_up"] is not None:
            pair = r["state"], r["runner_up"]
            pairs[pair] = pairs.get(pair, 0) + 1
    if not pairs:
        return f"{text}."
    (state, other), n = max(pairs.items(), key=lambda item: item[1])
    return f"{text}; the doubt is most often between {state} and {other} ({say_integer(n)})."


def write_trust(results: Results) -> list[str]:
    """Hysteresis, delay and predictive value of the states, in sentences."""
    run, thresholds = results.run, results.model.get("thresholds") or {}
    said = []
    flaps = run.get("flaps") or {}
    if flaps.get("before") is not None and flaps.get("after") is not None:
        said.append(
            f"Following the likeliest state at every event, customers would flip there and back within a day "
            f"{say_number(flaps['before'])} times a month each; as published it is {say_number(flaps['after'])}."
        )
    if thresholds.get("enter") is not None:
        said.append(_say_thresholds(thresholds))
    said += _compare_held_out(run.get("held_out") or {})
    said += [f"Predictive value of states: {sentence}" for sentence in run.get("foresight_in_words") or []]
    return said


def _say_thresholds(thresholds: Mapping[str, Any]) -> str:
    conditions = [f"it is at least {say_share(thresholds['enter'])} likely"]
    if thresholds.get("margin"):
        conditions.append(f"leads the present state by {say_share(thresholds['margin'])} or more")
    if thresholds.get("exit") is not None and thresholds["exit"] < 1:
        conditions.append(f"leaves the present one no more than {say_share(thresholds['exit'])}")
    text = f"A customer moves to a state once {say_list(conditions)}"
    if thresholds.get("min_dwell_s"):
        text += f", and a second event confirms it or that has lasted for {say_duration(thresholds['min_dwell_s'])}"
    return f"{text}."


def _compare_held_out(held_out: Mapping[str, Any]) -> list[str]:
    """Against which simpler models the states predict unseen customers' events better or worse."""
    ours = held_out.get("sojourn")
    names = {"markov_chain": "a chain that knows only the last event", "textbook_hmm": "a textbook hidden Markov model"}
    said = []
    for key, name in names.items():
        other = held_out.get(key)
        if ours is None or other is None:
            continue
        gain = exp(abs(float(ours) - float(other))) - 1
        differs = f"{say_share(gain)} {'better' if ours > other else 'worse'} than"
        verdict = differs if gain >= 0.005 else "as well as"
        said.append(
            f"For customers it was not fitted on, the model predicts the next event {verdict} {name} "
            "(probability given to what happened, on average per event)."
        )
    return said


def write_alignment(model: Mapping[str, Any]) -> list[Words]:
    """Per written state: how well people and data agree, and where they differ."""
    found = []
    for a in model.get("alignment") or []:
        likeness = float(a["similarity"])
        verdict = "agree" if likeness >= 0.9 else "mostly agree" if likeness >= 0.7 else "disagree"
        found.append(
            {
                "state": a["state"],
                "fitted": a["fitted"],
                "is_other": a["fitted"] != a["state"],
                "verdict": verdict,
                "likeness": say_share(likeness),
                "differences": [_say_difference(d) for d in (a.get("disagreements") or [])[:3]],
            }
        )
    return found


def _say_difference(d: Mapping[str, Any]) -> str:
    """What a disagreement is about, in words, and both probabilities."""
    channel, symbol = str(d["channel"]), str(d["symbol"])
    if channel == "event_class":
        what = f"events that are {symbol}"
    elif symbol in ("yes", "no") and ": " in channel:
        what = f"“{channel.split(': ', 1)[1]}” {'holds' if symbol == 'yes' else 'does not hold'}"
    else:
        what = f"{channel} {symbol}"
    return f"{shorten(what, 120)}: {say_share(d['written_p'])} by the playbook, {say_share(d['fitted_p'])} in the data"


# --- data -------------------------------------------------------------------------------------------------------


def write_quality(results: Results) -> Words:
    """What became of the rows: in a sentence, refused rows as examples, event classes, names the playbook lacks."""
    run, rows = results.run, results.run["rows"]
    were = "was" if rows["read"] == 1 else "were"
    summary = (
        f"{say_count(rows['read'], 'row')} {were} read: {say_integer(rows['accepted'])} accepted, "
        f"{say_integer(rows['duplicate'])} left out as duplicates, {say_integer(rows['quarantined'])} quarantined."
    )
    refused = results.quarantine.slice(0, MANY_ROWS).to_pylist()
    unmapped = sorted((run.get("unmapped_events") or {}).items(), key=lambda item: (-item[1], item[0]))
    return {
        "summary": summary,
        "refused": [
            {
                "where": f"{shorten(str(r['source']), 60)}:{r['line']}",
                "rule": r["rule"],
                "found": r["found"],
                "raw": shorten(r["raw"] or "", 160),
            }
            for r in refused
        ],
        "n_more": max(0, results.quarantine.num_rows - MANY_ROWS),
        "classes": [_write_class(c) for c in run.get("event_classes") or []],
        "unmapped": [(name, say_integer(n)) for name, n in unmapped[:MANY_ROWS]],
    }


def _write_class(c: Mapping[str, Any]) -> Words:
    measures = (c.get("measures") or {}).items()
    return {
        "name": c["event_class"],
        "rows": say_integer(c["n_rows"]),
        "customers": say_integer(c.get("n_customers") or 0),
        "sessions": say_integer(c.get("n_sessions") or 0),
        "measures": ", ".join(
            f"{name} {say_number(float(v))}" for name, v in measures if v is not None and isfinite(v)
        ),
    }


def write_making(results: Results) -> Words:
    """How the run was made, for those who want to repeat it."""
    run = results.run
    versions: Mapping[str, str] = run.get("versions") or {}
    stages: Sequence[Mapping[str, Any]] = run.get("stages") or []
    return {
        "facts": [
            ("Sojourn", str(run.get("sojourn", ""))),
            ("playbook", f"{results.playbook.name}, version {results.playbook.version} ({results.playbook.hash[:12]})"),
            ("events from", ", ".join(shorten(str(s), 80) for s in run.get("sources") or []) or "a table in memory"),
            ("data end at", str(run["now"])),
            ("seed", str(run.get("seed", ""))),
            ("libraries", ", ".join(f"{name} {number}" for name, number in versions.items())),
        ],
        "stages": [(s["stage"], say_duration(s["seconds"]), f"{say_number(s['peak_mb'])} MB") for s in stages],
    }


def render_report(results: Results) -> str:
    """The report of a run as one HTML page of UTF-8 text, about 5 MB, most of it plotly.js.

    Reads nothing but ``results`` and the package's own template; the same results give the same page.
    """
    whole = fill_gaps(results)
    figures = {name: embed_figure(figure) for name, figure in whole.figures.items()}
    return fill_page("report.html.j2", write_page(whole), figures)
