"""The job `segments`: who the customers are, strategically; as files, and back to keep numbers and names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from sojourn.errors import Problem, SojournError, nearest
from sojourn.frames import Progress, read_plain
from sojourn.pages import render_segments
from sojourn.pipelines.inputs import ignore, read_log, read_playbook, read_table
from sojourn.pipelines.results import ResultsFolder
from sojourn.playbook import Playbook
from sojourn.prove.stability import EXPORTS, add_descriptions, add_export
from sojourn.segments import LIFECYCLE, METHODS, Before, Study, cross_states, flow_between_cells, study_segments

_MOST_SEED = 4_000_000_000  # clustering takes 32 bits, and a few seeds beyond this one
_RECIPES = ("behavioural", "demographic", "predictive", "lifecycle", "value")


@dataclass(frozen=True, eq=False)
class Segmented:
    """What `segments` found: the study and, of a run, how segments and states cross and who came from where."""

    study: Study
    cells: pa.Table | None
    flows: pa.Table | None

    def as_dict(self) -> dict[str, Any]:
        """What ``segments.json`` holds: everything but customers and profiles, as plain values."""
        return tell_study(self.study)


def segments(
    events: Any,
    playbook: str | Path | Playbook,
    *,
    out: str | Path | None = None,
    recipe: str = "behavioural",
    method: str = "auto",
    k: int | None = None,
    inputs: Sequence[str] | None = None,
    traits: Any = None,
    at: datetime | None = None,
    horizon_days: int | None = None,
    previous: str | Path | None = None,
    results: str | Path | None = None,
    seed: int = 0,
    n_threads: int = 1,
    progress: Progress | None = None,
) -> Segmented:
    """Groups of customers who are alike, what sets each apart, and what they explain of what came later.

    ``recipe``: behavioural, demographic, predictive, lifecycle or value. ``traits``: a table with ``customer_id``, of
    what is known beside events. ``previous``: a folder that this job wrote, whose numbers and names are kept.
    ``results``: a folder of `sojourn run`; segments are then crossed with its states. With ``out`` tables and a page
    are written there. Raises SojournError for what cannot be done.

    >>> from sojourn.simulation.customers import simulate
    >>> found = segments(simulate(120, days=40, seed=1).events, "shop", recipe="lifecycle")
    >>> found.study.segments.customers.num_rows
    45
    """
    _check_choices(recipe, method, seed)
    before = read_before(Path(previous), recipe) if previous is not None else None
    past = read_past(Path(previous)) if previous is not None else None
    run = read_run(Path(results)) if results is not None else None
    known = read_table(traits, ["customer_id"]) if traits is not None else None
    book, tell = read_playbook(playbook), progress or ignore
    study = study_segments(
        read_log(events, book, tell).events,
        book,
        recipe,
        at=at,
        horizon_days=horizon_days,
        inputs=inputs,
        traits=known,
        method=method,
        k=k,
        before=before,
        seed=seed,
        n_threads=n_threads,
        progress=tell,
    )
    cells = flows = None
    if run is not None:
        customers, transitions, now = run
        cells = cross_states(study.segments.customers, customers)
        then = before.customers if before else None
        flows = flow_between_cells(study.segments.customers, customers, transitions, now=now, before=then)
    if out is not None:
        tell("write", 0, 1)
        write_segments(study, out, cells=cells, flows=flows, past=past, seed=seed)
        tell("write", 1, 1)
    return Segmented(study, cells, flows)


def _check_choices(recipe: str, method: str, seed: int) -> None:
    for option, given, known in (("--recipe", recipe, _RECIPES), ("--method", method, ("auto", *METHODS))):
        if given not in known:
            what = f"'{given}' is none; there are {', '.join(known)}"
            raise SojournError(Problem(option, what, nearest(given, known)))
    if seed > _MOST_SEED:
        raise SojournError(Problem("--seed", f"{seed} is too large; {_MOST_SEED:,} is the most"))


def write_segments(
    study: Study,
    out: str | Path,
    *,
    cells: pa.Table | None = None,
    flows: pa.Table | None = None,
    past: Past | None = None,
    seed: int = 0,
) -> None:
    """All of a study as files in a folder; an error leaves the folder as it was.

    ``past``: what earlier studies of the same segments said; it is carried on, so that staleness can be seen.
    """
    with ResultsFolder(Path(out)).write() as draft:
        tables = {
            "segments": study.segments.customers,
            "segment_profiles": study.segments.profiles,
            "segment_choice": study.segments.choice,
            "segment_relevance": study.relevance,
            "segment_audit": study.audit,
            "segment_states": cells,
            "segment_flows": flows,
            "segment_history": add_export(past.exports if past else None, study.segments.customers, study.at),
        }
        for name, table in tables.items():
            if table is not None:
                draft.add_table(name, table)
        said = [(one.number, one.described_as) for one in study.segments.segments]
        told = add_descriptions(past.told if past else [], said, study.at)
        draft.add_json("segments", tell_study(study) | {"descriptions": told})
        draft.add_text("segments.html", render_segments(study, cells=cells, flows=flows, seed=seed))


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
        "before": None
        if match is None
        else {
            "n_shared": match.n_shared,
            "moved_p": match.moved_p,
            "gone": list(match.gone),
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
    }


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
        customers = ResultsFolder(folder).read("segments", ["customer_id", "segment"])
        told: Mapping[str, Any] = ResultsFolder(folder).read_json("segments")
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
    folder = ResultsFolder(path)
    told: Mapping[str, Any] = folder.read_json("segments")
    names = {str(number): name for number, name in before.names.items()}
    try:
        if folder.has("segment_history"):
            said = add_descriptions(told.get("descriptions", ()), (), datetime.max.replace(tzinfo=UTC))
            return Past(folder.read("segment_history").select(EXPORTS.names).cast(EXPORTS), names, said)
        return Past(add_export(None, before.customers, datetime.fromisoformat(told["at"])), names, ())
    except (OSError, pa.ArrowException, ValueError, KeyError, TypeError) as error:
        raise SojournError(Problem(str(path), f"the history of the segments cannot be read: {error}")) from None


def read_run(path: Path) -> tuple[pa.Table, pa.Table, datetime]:
    """Customers, transitions and the instant of a ``sojourn run`` folder. Raises SojournError where it is none."""
    folder = ResultsFolder(path)
    try:
        customers = folder.read("customers", ["customer_id", "state", "first_at"])
        transitions = folder.read("transitions", ["customer_id", "at", "from_state", "to_state"])
        told: Mapping[str, Any] = folder.read_json("run")
        return customers, transitions, datetime.fromisoformat(told["now"])
    except (OSError, pa.ArrowException, ValueError, KeyError, TypeError) as error:
        what = f"these are no results of a run that can be read: {error}"
        raise SojournError(Problem(str(path), what, command=f"sojourn run EVENTS -p PLAYBOOK --out {path}")) from None
