"""A creative brief of one state: one page for whoever writes to its people, from the playbook and the tables of a run.

Protected attributes are never in it: a text or row that names one is left out, and how many were is said.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa
from jinja2 import Environment, StrictUndefined

from sojourn.errors import Problem, SojournError, nearest
from sojourn.pages.html import fill_page
from sojourn.pages.words import (
    find_marks,
    find_medians,
    find_signals,
    is_sure,
    say_count,
    say_date,
    say_duration,
    say_integer,
    say_list,
    say_mark,
    say_number,
    say_share,
    say_times,
    shorten,
)

if TYPE_CHECKING:
    from sojourn.playbook import Playbook, State

Words = dict[str, Any]
Row = dict[str, Any]
Tables = Mapping[str, pa.Table]
Format = Literal["md", "html"]

TABLES = ("customers", "fingerprints", "matrix", "dwell", "precedes", "paths", "channels")
"""What a brief needs; ``triggers`` is used where it is there."""

N_EXAMPLES = 2
MOST_STEPS = 8
HOURS_TOGETHER = 3
MIN_STEPS = 2
MOST_TEXT, MOST_ITEMS = {"about": 360, "job": 160, "creative": 480}, 6
"""Longer texts and lists of the playbook are cut, so that the brief stays on its page."""


def write_brief(
    tables: Tables,
    examples: Sequence[pa.Table],
    playbook: Playbook,
    *,
    states: Sequence[str],
    now: datetime,
    state: str,
) -> Words:
    """What the brief says, as plain values: texts and lists of sentences, unescaped, by the names of its parts.

    ``tables`` are those of a run by name (:data:`TABLES`), ``examples`` its traces. Raises
    :class:`~sojourn.errors.SojournError` for a state that the run does not have.

    Parts: ``state``, ``as_of``, ``size``, ``about``, ``job``, ``anxieties``, ``marks``, ``comes_in``, ``moves_on``,
    ``stay``, ``where``, ``when``, ``gaps``, ``creative``, ``channels``, ``journeys``, ``avoid``, ``notes``.
    """
    if state not in states:
        what = f"there is no state '{state}'; the states are {', '.join(states)}"
        raise SojournError(Problem("STATE", what, nearest(state, states)))
    is_fit = _guard(playbook.protected)
    written = next((s for s in playbook.states if s.name == state), None)
    said = _write_playbook(written, is_fit)
    rows = {
        name: [r for r in table.to_pylist() if is_fit(_text_of(r))]
        for name, table in tables.items()
        if name not in ("customers", "dwell", "fingerprints")
    }
    here = [r for r in rows["channels"] if r["state"] == state]
    n_left_out = said.pop("n_left_out")
    return {
        "state": state,
        "playbook": playbook.name,
        "as_of": say_date(now, year=True),
        "size": _say_size(tables["customers"], state),
        **said,
        "marks": [m for m in map(say_mark, find_marks(tables["fingerprints"], state, 6)) if is_fit(m)][:3],
        "comes_in": _say_moves(rows["matrix"], state, is_in=True)
        + _say_signs(tables, rows.get("triggers", []), "to_state", state, is_fit),
        "moves_on": _say_moves(rows["matrix"], state, is_in=False)
        + _say_signs(tables, rows.get("triggers", []), "from_state", state, is_fit),
        "stay": _say_stay(tables["dwell"], state),
        "where": _say_channels(here),
        "when": _say_times_of_day(here),
        "gaps": _say_gaps(here),
        "journeys": _say_journeys(examples, rows["paths"], state, is_fit),
        "avoid": _say_avoid(said["anxieties"]),
        "notes": _say_notes(n_left_out),
    }


def render_brief(words: Words, form: Format = "md") -> str:
    """The brief as one page of Markdown or of HTML that loads nothing; every text in it is escaped."""
    if form == "html":
        return fill_page("brief.html.j2", words)

    template = (files("sojourn.pages") / "templates" / "brief.md.j2").read_text(encoding="utf-8")
    environment = Environment(
        autoescape=False, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    page = environment.from_string(template).render(brief=_escape_all(words))
    return re.sub(r"\n{3,}", "\n\n", page).lstrip("\n")


def _escape_all(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _escape_all(part) for name, part in value.items()}
    return [escape_markdown(part) for part in value] if isinstance(value, list) else escape_markdown(value)


def escape_markdown(value: object) -> str:
    r"""The text on one line, with what Markdown or HTML would read as markup escaped.

    >>> escape_markdown("<b>*now*</b> # [x](y) cart_add")
    '\\<b\\>\\*now\\*\\</b\\> # \\[x\\](y) cart_add'
    """
    line = " ".join(str(value).split())
    line = re.sub(r"([\\`*\[\]<>|])|(?<![^\W_])(_)|(_)(?![^\W_])", lambda m: "\\" + m.group(0), line)
    return re.sub(r"^([#+\-=]|\d+[.)])", lambda m: "\\" + m.group(0), line).replace("&", "&amp;")


# --- what the playbook says ---------------------------------------------------------------------------------------


def _guard(protected: Sequence[str]) -> Callable[[str], bool]:
    """Whether a text names no protected attribute, in any of the ways that it may be written."""
    names = [re.escape(name.rpartition(".")[2]).replace("_", "[ _-]?") for name in protected]
    if not names:
        return lambda text: True
    pattern = re.compile(rf"(?<![^\W_])(?:{'|'.join(names)})(?![^\W_])", re.IGNORECASE)
    return lambda text: not pattern.search(text)


def _text_of(row: Row) -> str:
    return " ".join(str(value) for value in row.values() if isinstance(value, str))


def _write_playbook(state: State | None, is_fit: Callable[[str], bool]) -> Words:
    blank = "Not in the playbook: found in the data, and still to be named by a person." if state is None else ""
    texts = {name: " ".join(getattr(state, name).split()) if state else "" for name in ("about", "job", "creative")}
    lists = {name: list(getattr(state, name)) if state else [] for name in ("anxieties", "channels")}
    n = sum(not is_fit(text) for text in (*texts.values(), *lists["anxieties"], *lists["channels"]))
    texts = {name: shorten(text, MOST_TEXT[name]) if is_fit(text) else "" for name, text in texts.items()}
    lists = {name: [shorten(text, 60) for text in told if is_fit(text)][:MOST_ITEMS] for name, told in lists.items()}
    return {**texts, **lists, "about": texts["about"] or blank, "n_left_out": n}


# --- what the tables say ------------------------------------------------------------------------------------------


def _say_size(customers: pa.Table, state: str) -> str:
    held = customers["state"].to_pylist()
    n, n_all = held.count(state), len(held) - held.count(None)
    return f"{say_count(n, 'customer')} now" + (f", {say_share(n / n_all)} of all" if n_all else "")


def _say_moves(matrix: Sequence[Row], state: str, *, is_in: bool) -> list[str]:
    """The three ways in or out that most take."""
    there, here = ("from_state", "to_state") if is_in else ("to_state", "from_state")
    rows = sorted((r for r in matrix if r[here] == state), key=lambda r: (-r["n"], r[there]))
    n = sum(r["n"] for r in rows)
    word = "from" if is_in else "to"
    side = "in" if is_in else "out"
    return [f"{word} {r[there]}: {say_share(r['n'] / n)} of the {say_integer(n)} moves {side}" for r in rows[:3]]


def _say_signs(
    tables: Tables, triggers: Sequence[Row], side: str, state: str, is_fit: Callable[[str], bool]
) -> list[str]:
    """What goes with moves into or out of the state: triggers where they were estimated, else what comes before."""
    mine = [r for r in triggers if r[side] == state and is_sure(r)]
    mine = sorted((r for r in mine if r["low"] is not None and r["low"] > 1), key=lambda r: (-r["low"], r["covariate"]))
    if mine:
        return [
            f"{r['covariate']}{' (a message of ours)' if r['kind'] == 'touch' else ''} goes with "
            f"{say_number(r['hazard_ratio'])} times as many moves from {r['from_state']} to {r['to_state']} "
            f"(95\u00a0% interval {say_number(r['low'])} to {say_number(r['high'])})"
            for r in mine[:2]
        ]
    signs = [r for r in find_signals(tables["precedes"], more=True) if r[side] == state and is_fit(r["event_class"])]
    return [
        f"before moves from {r['from_state']} to {r['to_state']}, {r['event_class']}"
        f"{' (a message of ours)' if r['is_touch'] else ''} comes {say_times(r['lift'])} as at other times "
        f"(95\u00a0% interval {say_number(r['low'])} to {say_number(r['high'])})"
        for r in signs[:2]
    ]


def _say_stay(dwell: pa.Table, state: str) -> str:
    median = find_medians(dwell).get(state)
    rows = [r for r in dwell.to_pylist() if r["state"] == state]
    if not rows:
        return "Nobody has been in this state."
    if median is None:
        return "Fewer than half of those who came have left so far."
    quarter = next((r["after_s"] for r in rows if r["survival_p"] <= 0.25), None)
    rest = f"; a quarter is still there after {say_duration(quarter)}" if quarter is not None else ""
    return f"Half leave within {say_duration(median)}{rest}. That is the time there is to reach them."


def _say_channels(here: Sequence[Row]) -> list[str]:
    rows = sorted((r for r in here if r["kind"] == "channel" and r["n_events"]), key=lambda r: -r["share_p"])
    said = []
    for r in rows[:5]:
        text = f"{r['what']}: {say_share(r['share_p'])} of what they do"
        if r["low"] is not None and (r["low"] > 1 or r["high"] < 1):
            text += f", {say_times(r['index'])} as overall"
        said.append(text)
    return said


def _say_times_of_day(here: Sequence[Row]) -> list[str]:
    """The three hours in which most happens, and the weekdays that stand out."""
    hours = {int(r["what"][:2]): r for r in here if r["kind"] == "hour"}
    if not hours:
        return []

    def share(first: int, name: str) -> float:
        span = ((first + i) % 24 for i in range(HOURS_TOGETHER))
        return sum(float(hours[hour][name]) for hour in span if hour in hours)

    best = max(range(24), key=lambda first: (share(first, "share_p"), -first))
    much, overall = share(best, "share_p"), share(best, "overall_p")
    span = f"{best:02}:00 to {(best + HOURS_TOGETHER) % 24:02}:00 UTC"
    said = [f"{span}: {say_share(much)} of what they do, {say_times(much / overall)} as overall"]
    days = [r["what"] for r in here if r["kind"] == "weekday" and r["low"] is not None and r["low"] > 1]
    said.append(f"more than overall on {say_list(days)}" if days else "no weekday stands out")
    return said


def _say_gaps(here: Sequence[Row]) -> list[str]:
    """What is not covered, a line per kind of gap."""
    gaps: dict[str, list[str]] = {}
    for r in here:
        if r["gap"]:
            gaps.setdefault(r["gap"], []).extend([r["what"]] if r["what"] and r["kind"] != "creative" else [])
    return [f"{say_list(what)}: {gap}" if what else gap for gap, what in gaps.items()]


# --- journeys -----------------------------------------------------------------------------------------------------


def _say_journeys(
    examples: Sequence[pa.Table], paths: Sequence[Row], state: str, is_fit: Callable[[str], bool]
) -> list[str]:
    """Two stays of real customers, without who they are, and the commonest path through the state."""
    found: list[str] = []
    for trace in examples:
        stays = [stay for stay in _stays_in(trace.to_pylist(), state, is_fit) if stay["n"] >= MIN_STEPS]
        if stays and len(found) < N_EXAMPLES:
            found.append(max(stays, key=lambda stay: (stay["is_over"], -abs(stay["n_steps"] - MOST_STEPS)))["text"])
    said = [f"One customer: {text}" if i == 0 else f"Another: {text}" for i, text in enumerate(found)]
    if len(found) < N_EXAMPLES:
        few = "none" if not found else "only one"
        said.append(f"Of the example customers of this run {few} did more than one thing in this state.")
    through = [r for r in paths if r["kind"] == "path" and state in r["steps"]]
    if through:
        top = max(through, key=lambda r: (r["n_customers"], r["text"]))
        said.append(f"The path that most take through it: {top['text']} ({say_share(top['share_p'])} of customers).")
    return said


def _stays_in(trace: Sequence[Row], state: str, is_fit: Callable[[str], bool]) -> list[Row]:
    """Unbroken times of one customer in the state, each told in a line."""
    stays: list[Row] = []
    before: Row | None = None
    run: list[Row] = []
    for row in [*trace, None]:
        if row is not None and row["state"] == state:
            run.append(row)
            continue
        if run:
            stays.append(_tell_stay(run, before, row, is_fit))
            run = []
        before = row
    return stays


def _tell_stay(run: Sequence[Row], before: Row | None, after: Row | None, is_fit: Callable[[str], bool]) -> Row:
    seen = [r for r in run if r["event_class"] is not None and is_fit(r["event_class"])]
    steps: list[tuple[str, int]] = []
    for r in seen:
        name = f"(we: {r['event_class']})" if r["kind"] == "touch" else r["event_class"]
        if steps and steps[-1][0] == name:
            steps[-1] = name, steps[-1][1] + 1
        else:
            steps.append((name, 1))
    shown = [name if n == 1 else f"{name} ×{n}" for name, n in steps[:MOST_STEPS]]
    more = [f"{say_count(len(steps) - MOST_STEPS, 'further step')}"] if len(steps) > MOST_STEPS else []
    came = f"came from {before['state']}: " if before is not None and before["state"] else ""
    left = (
        f", then {after['state']} after {say_duration((after['at'] - run[0]['at']).total_seconds())}"
        if (after is not None and after["state"])
        else ", still there"
    )
    n_own = sum(r["kind"] == "event" for r in seen)
    return {
        "text": f"{came}{' → '.join(shown + more)}{left}.",
        "n": n_own,
        "n_steps": len(steps),
        "is_over": after is not None,
    }


# --- what not to say ----------------------------------------------------------------------------------------------


def _say_avoid(anxieties: Sequence[str]) -> list[str]:
    return [
        *(["Nothing that feeds one of their worries."] if anxieties else []),
        "Nothing that shows that we watch: no clicks, times or counts of one person.",
        "Nothing about who they are, said or hinted at. What the playbook protects was no input of the states.",
        "No name of the state: it is our word, not theirs.",
    ]


def _say_notes(n_left_out: int) -> list[str]:
    said = [
        "Signs go with moves; they need not cause them. Hold out a group before money is spent.",
        "Where and when they are found is counted in events of sampled customers; hours are UTC.",
    ]
    if n_left_out == 1:
        said.append("One text of the playbook is left out: it names what the playbook protects.")
    elif n_left_out:
        said.append(f"{n_left_out} texts of the playbook are left out: they name what the playbook protects.")
    return said
