"""Segments as files, and back: what is needed to keep their numbers and names when they are found again."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from sojourn.errors import Problem, SojournError
from sojourn.frames.files import open_output, read_plain, write_json, write_table
from sojourn.pages.segments import render_segments
from sojourn.prove.stability.staleness import EXPORTS, add_descriptions, add_export
from sojourn.segments.find import Before
from sojourn.segments.recipes import LIFECYCLE
from sojourn.segments.study import Study


def write_segments(
    study: Study, out: str | Path, *, cells: pa.Table | None = None, flows: pa.Table | None = None,
    past: Past | None = None, seed: int = 0,
) -> None:  # fmt: skip
    """All of a study as files in a folder; an error leaves the folder as it was.

    ``past``: what earlier studies of the same segments said; it is carried on, so that staleness can be seen.
    """
    with open_output(out) as folder:
        assert folder is not None
        tables = {
            "segments": study.segments.customers, "segment_profiles": study.segments.profiles,
            "segment_choice": study.segments.choice, "segment_relevance": study.relevance,
            "segment_audit": study.audit, "segment_states": cells, "segment_flows": flows,
            "segment_history": add_export(past.exports if past else None, study.segments.customers, study.at),
        }  # fmt: skip
        for name, table in tables.items():
            if table is not None:
                write_table(table, folder / f"{name}.parquet")
        said = [(one.number, one.described_as) for one in study.segments.segments]
        told = add_descriptions(past.told if past else [], said, study.at)
        write_json(tell_study(study) | {"descriptions": told}, folder / "segments.json")
        page = render_segments(study, cells=cells, flows=flows, seed=seed)
        (folder / "segments.html").write_text(page, encoding="utf-8")


@dataclass(frozen=True, eq=False)
class Past:
    """Segments over time: exports (:data:`sojourn.prove.stability.staleness.EXPORTS`), names now, and the words about
    each."""

    exports: pa.Table
    names: Mapping[str, str]
    told: Sequence[Mapping[str, Any]]


def tell_study(study: Study) -> dict[str, Any]:
    """What ``segments.json`` holds and ``--json`` prints: everything but customers and profiles, as plain values."""
    found = study.segments
    match = found.match
    return {
        "recipe": study.recipe.name,
        "at": study.at.isoformat(),
        "horizon_days": study.horizon_days,
        "customers": found.customers.num_rows,
        "outliers": sum(found.customers["is_outlier"].to_pylist()),
        "method": found.method,
        "why": found.why,
        "segments": [asdict(one) for one in sorted(found.segments, key=lambda one: one.number)],
        "last_number": max([one.number for one in found.segments] + list(match.gone if match else ())),
        "rules": {"agreement_p": found.rules.agreement_p, "largest_segment_p": found.rules.share_p},
        "choice": found.choice.to_pylist() if found.choice is not None else None,
        "relevance_by_number": study.numbers.to_pylist() if study.numbers is not None else None,
        "relevance": study.relevance.to_pylist() if study.relevance is not None else None,
        "audit": _list_associations(study.audit),
        "before": None if match is None else {
            "n_shared": match.n_shared, "moved_p": match.moved_p, "gone": list(match.gone),
        },
        "inputs": [one.as_dict() for one in found.space.preparation.inputs],
        "left_out": {one.name: one.why for one in found.space.preparation.left_out},
        "model": {
            "mean": found.space.mean.tolist(),
            "directions": found.space.directions.tolist(),
            "explained_p": found.space.share.tolist(),
            "centres": found.clusters.centres.tolist(),
            "outlier_distance": found.space.fence,
        },
        "doubts": [*study.doubts, *([study.why_not] if study.why_not else [])],
    }  # fmt: skip


def _list_associations(audit: pa.Table | None) -> dict[str, float] | None:
    if audit is None:
        return None
    return (
        dict(zip(audit["attribute"].to_pylist(), audit["association"].to_pylist(), strict=True)) if len(audit) else {}
    )


def read_before(folder: Path, recipe: str | None = None) -> Before:
    """The segments that an earlier ``sojourn segments --out`` wrote, to be continued by a recipe.

    Raises SojournError where there are none, and where only one of the two recipes goes by rule: a stage of the life
    cycle has its number for ever, and cannot be taken for a segment found by clustering.
    """
    try:
        customers = pq.read_table(folder / "segments.parquet", columns=["customer_id", "segment"])
        told: Mapping[str, Any] = json.loads((folder / "segments.json").read_text(encoding="utf-8"))
        names = {int(one["number"]): str(one["name"]) for one in told["segments"]}
        if not pa.types.is_integer(customers["segment"].type):
            raise ValueError(f"segments are numbered, and not {customers['segment'].type}")
        earlier = told.get("recipe", recipe)
        if recipe is not None and earlier != recipe and LIFECYCLE in (earlier, recipe):
            what = f"holds '{earlier}' segments, which '{recipe}' ones cannot continue"
            raise SojournError(
                Problem(str(folder), f"{what}; leave --previous out or name a folder of the same recipe")
            )
        return Before(customers, names, int(told["last_number"]))
    except (OSError, pa.ArrowException, ValueError, KeyError, TypeError) as error:
        what = f"there are no segments that can be read: {error}"
        raise SojournError(
            Problem(str(folder), what, command=f"sojourn segments EVENTS -p PLAYBOOK --out {folder}")
        ) from None


def read_past(path: Path) -> Past:
    """What is known of segments over time: a folder of ``sojourn segments``, or a table ``customer_id, at, segment``.

    A folder that an older version wrote, without a history, has the one export that it holds. Raises SojournError where
    there are no segments.
    """
    if not path.is_dir():
        return Past(read_plain(path, ["customer_id", "at", "segment"]), {}, ())
    before = read_before(path)
    told: Mapping[str, Any] = json.loads((path / "segments.json").read_text(encoding="utf-8"))
    names = {str(number): name for number, name in before.names.items()}
    history = path / "segment_history.parquet"
    try:
        if history.exists():
            said = add_descriptions(told.get("descriptions", ()), (), datetime.max.replace(tzinfo=UTC))
            return Past(pq.read_table(history).select(EXPORTS.names).cast(EXPORTS), names, said)
        return Past(add_export(None, before.customers, datetime.fromisoformat(told["at"])), names, ())
    except (OSError, pa.ArrowException, ValueError, KeyError, TypeError) as error:
        raise SojournError(Problem(str(path), f"the history of the segments cannot be read: {error}")) from None
