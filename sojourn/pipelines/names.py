"""The job `names`: the names that people gave to discovered states, kept beside the results, shown in their place.

In tables a discovered state stays ``extra_1``, whatever it is called: names may change, keys may not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from sojourn.errors import Problem, SojournError, nearest
from sojourn.pages import Results
from sojourn.pipelines.results import ResultsFolder
from sojourn.states import (
    EXTRA,
    Named,
    Substate,
    describe_substates,
    dump_named,
    find_names,
    load_model,
    load_named,
    match_named,
    read_emission,
)
from sojourn.states.hmm import Model

NAMES = "names"
MOST_LETTERS = 60


def read_names(folder: Path) -> tuple[Named, ...]:
    """The names kept in a results folder; none where there are none. Raises SojournError for a file that is broken."""
    path = folder / f"{NAMES}.json"
    if not path.exists():
        return ()
    try:
        return load_named(ResultsFolder(folder).read_json(NAMES))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        what = f"these are no names that `sojourn name` wrote ({type(error).__name__}: {error}); repair or delete it"
        raise SojournError(Problem(str(path), what)) from None


def list_substates(folder: Path) -> tuple[tuple[Substate, ...], tuple[Named, ...]]:
    """The discovered states of a results folder in words, and the names of which no state is left.

    Raises SojournError where there is no model.
    """
    model, names = _read_model(folder), read_names(folder)
    found = match_named(model, names)
    return describe_substates(model, find_names(model, names)), tuple(n for n in names if n.state not in found)


def name_substate(folder: Path, state: str, name: str) -> Substate:
    """Give a discovered state a name, or another one, and keep what it looks like beside it. Returns the state.

    Raises SojournError for a state that is not there or not discovered, and for a name that cannot be one.
    """
    model = _read_model(folder)
    extras = [s for s in model.states if s.startswith(EXTRA)]
    if state not in extras:
        what = f"'{state}' is no discovered state" + (f"; there are {', '.join(extras)}" if extras else "")
        raise SojournError(Problem(str(folder), what, nearest(state, extras), command=f"sojourn name {folder}"))
    kept = [n for n in read_names(folder) if n.state != state]
    taken = [*(s for s in model.states if not s.startswith(EXTRA)), *(n.name for n in kept)]
    _check_name(name, taken)
    kept.append(Named(state, name, read_emission(model, model.states.index(state))))
    ResultsFolder(folder).replace_json(NAMES, dump_named(sorted(kept, key=lambda n: n.state)))
    return next(s for s in list_substates(folder)[0] if s.state == state)


def _check_name(name: str, taken: Sequence[str]) -> None:
    if not name.strip() or name != name.strip() or not name.isprintable():
        what = f"{name!r} is no name: it must be text on one line, without blanks around it"
        raise SojournError(Problem("name", what))
    if len(name) > MOST_LETTERS:
        raise SojournError(Problem("name", f"it has {len(name)} letters; at most {MOST_LETTERS} can be shown"))
    if name in taken or name.startswith(EXTRA):
        raise SojournError(Problem("name", f"'{name}' is the name of another state"))


def _read_model(folder: Path) -> Model:
    path = folder / "model.json"
    if not path.exists():
        command = f"sojourn run EVENTS --playbook PLAYBOOK --out {folder}"
        raise SojournError(Problem(str(folder), "holds no results of a run", command=command))
    try:
        return load_model(ResultsFolder(folder).read_json("model"))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        what = f"this is no model of this version of Sojourn ({type(error).__name__}: {error})"
        raise SojournError(Problem(str(path), what)) from None


def show_names(results: Results) -> Results:
    """The results with names in place of ``extra_1`` and so on, to be drawn and printed; unchanged where none is named.

    ``results.model["names"]`` says which name each discovered state has.
    """
    names = {str(k): str(v) for k, v in (results.model.get("names") or {}).items()}
    if not names:
        return results
    return replace(
        results,
        customers=_rename(results.customers, names),
        transitions=_rename(results.transitions, names),
        fingerprints=_rename(results.fingerprints, names),
        moves={key: _rename(table, names) for key, table in results.moves.items()},
        examples=tuple(_rename(table, names) for table in results.examples),
        model=_rename_plain(results.model, names),
        load_history=lambda: _rename(results.history, names),
        _figures={},
    )


def _rename(table: pa.Table, names: Mapping[str, str]) -> pa.Table:
    """A table whose columns of states, and columns named after states, have the new names."""
    for i, field in enumerate(table.schema):
        if field.name.endswith("state") or field.name == "runner_up":
            column = table.column(i)
            text = column.cast(pa.string()) if pa.types.is_dictionary(field.type) else column
            for old, new in names.items():
                text = pc.if_else(pc.equal(text, old), new, text)
            table = table.set_column(i, field.name, text.cast(field.type) if text.type != field.type else text)
    return table.rename_columns(
        [f"p_{names[c[2:]]}" if c.startswith("p_") and c[2:] in names else c for c in table.column_names]
    )


def _rename_plain(value: Any, names: Mapping[str, str]) -> Any:
    """The same in plain values: keys and texts that are exactly a discovered state."""
    if isinstance(value, Mapping):
        return {names.get(str(k), k): _rename_plain(v, names) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_rename_plain(v, names) for v in value]
    return names.get(value, value) if isinstance(value, str) else value
