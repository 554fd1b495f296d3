"""Words for segments: relevance, staleness, the audit and the cross with states."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import sqrt
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from sojourn.pages.words.numbers import say_days, say_integer, say_score, say_share
from sojourn.prove.stability import STALE_DAYS, name_refit
from sojourn.segments import RANDOM, SEGMENTS, Study

if TYPE_CHECKING:
    from sojourn.pages.words.types import Row

_FEWEST = 10
_SURE = 3.0  # adjusted residuals beyond this are not chance, among a hundred cells
NOTHING = "No state holds more of one segment than chance would."
MENU = {"lifecycle": "Life cycle", "value": "Value (RFM)"}


def find_telling_cells(hybrid: pa.Table, segmentation: str) -> list[Row]:
    """The cells that hold more customers, beyond chance, than segments and states make one expect; surest first.

    Judged by adjusted residuals. Source: Haberman 1973, doi:10.2307/2529686.
    """
    rows = [r for r in hybrid.to_pylist() if r["segmentation"] == segmentation and r["state"] is not None]
    n = sum(r["n_customers"] for r in rows)
    found = []
    for r in rows:
        if r["n_customers"] >= _FEWEST and r["ratio"] > 1 and r["share_p"] > 0:
            expected, of_all = r["n_customers"] / r["ratio"], r["n_customers"] / r["share_p"] / n
            spread = expected * (1 - of_all) * (1 - r["share_all_p"])
            residual = (r["n_customers"] - expected) / sqrt(spread) if spread > 0 else 0.0
            if residual > _SURE:
                found.append((residual, r))
    return [r for _, r in sorted(found, key=lambda pair: -pair[0])]


def say_cell(r: Row) -> str:
    """One cell in a sentence."""
    return (
        f"In “{r['segment']}” {say_share(r['share_p'])} of the customers are in {r['state']} now "
        f"({say_integer(r['n_customers'])}); of all customers it is {say_share(r['share_all_p'])}."
    )


def say_hybrid(hybrid: pa.Table, most: int = 3) -> list[str]:
    """The most telling cells of both segmentations, or why there are none."""
    why = [r["why_not"] for r in hybrid.to_pylist() if r["why_not"]]
    if why:
        return [f"Not known: {why[0]}."]
    said = [say_cell(r) for name in MENU for r in find_telling_cells(hybrid, name)[:most]]
    return list(dict.fromkeys(said)) or [NOTHING]  # who has not bought yet is in both


def say_relevance(rows: Sequence[Mapping[str, Any]], outcome: str, days: int) -> str:
    """The finding about the first outcome, in a sentence."""
    own = {r["grouping"]: r for r in rows if r["outcome"] == outcome}
    mine = own["segments"]
    text = f"Segments explain {say_share(max(mine['explained_p'], 0.0))} of the {outcome} of the {days} days after"
    others = [r for way, r in own.items() if way not in ("segments", "random")]
    if not others:
        return f"{text}; random ones {say_share(max(own['random']['explained_p'], 0.0))}."
    best = max(others, key=lambda r: float(r["explained_p"]))
    return f"{text}; the best RFM grouping {say_share(max(best['explained_p'], 0.0))} ({best['grouping']})."


_ASSOCIATED = 0.1


def say_audit(study: Study) -> list[str]:
    """A sentence for each protected attribute that goes with the segments."""
    if study.audit is None:
        return []
    said = []
    for attribute in dict.fromkeys(study.audit["attribute"].to_pylist()):
        rows = [r for r in study.audit.to_pylist() if r["attribute"] == attribute]
        v = rows[0]["association"]
        if v < _ASSOCIATED:
            continue
        top = max(rows, key=lambda r: r["ratio"] if r["n_customers"] >= 10 else 0.0)
        said.append(
            f"Segments go with {attribute}, which is protected and was no input (association {say_score(v)}): "
            f"{top['level']} is {say_share(top['share_p'])} of segment {top['segment']}, "
            f"{say_share(top['share_all_p'])} of all."
        )
    return said


def say_segment_standing(relevance: pa.Table) -> str:
    """How the segments stand against RFM, or against random ones where nobody bought, in a sentence or two.

    More or less is said where the 95 % interval of the difference leaves out zero; more only against every use of RFM.

    >>> row = {"outcome": "bought", "grouping": "RFM segments", "more_low": 0.1, "more_high": 0.3}
    >>> say_segment_standing(pa.Table.from_pylist([row]))
    'Beyond chance segments explain more than every use of RFM of “bought”.'
    """
    rows = relevance.to_pylist()
    rivals = [r for r in rows if r["grouping"] not in (SEGMENTS, RANDOM)]
    whom = "every use of RFM" if rivals else "random ones"
    rivals = rivals or [r for r in rows if r["grouping"] == RANDOM]
    more, less, even = list[str](), list[str](), list[str]()
    for outcome in dict.fromkeys(r["outcome"] for r in rivals):
        own = [r for r in rivals if r["outcome"] == outcome]
        ahead = [r["grouping"] for r in own if r["more_high"] < 0]
        if ahead:
            less.append(f"“{outcome}” ({'; '.join(ahead)})")
        else:
            (more if all(r["more_low"] > 0 for r in own) else even).append(f"“{outcome}”")
    said = [f"Beyond chance segments explain more than {whom} of {', '.join(more)}."] if more else []
    said += [f"Beyond chance segments explain less of {', '.join(less)}."] if less else []
    said += [f"Within chance segments explain as much as the best of these of {', '.join(even)}."] if even else []
    return " ".join(said)


def say_staleness(found: pa.Table) -> list[str]:
    """A sentence per stale segment; where there is none, one that says so, or why it cannot be told."""
    rows = found.to_pylist()
    stale = [r for r in rows if r["is_stale"]]
    if stale:
        return [f"Segment {name_refit(r)} is stale: {r['says']}" for r in stale]
    if rows[0]["segment"] is None:
        return [f"Segments: {rows[0]['says']}"]
    days = rows[0]["observed_days"]
    if days < STALE_DAYS:
        return [f"Segments: {say_days(days)} of them are known; half a year is needed to say what is stale."]
    return [f"Segments: none of {len(rows)} is stale."]
