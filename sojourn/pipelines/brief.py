"""The job `brief`: one page for whoever writes to the people of a state."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sojourn.errors import Problem, SojournError
from sojourn.pages import TABLES, Format, render_brief, write_brief
from sojourn.pipelines.results import ResultsFolder, write_text


@dataclass(frozen=True)
class Brief:
    """What the brief says, as plain values, and the page: Markdown or HTML."""

    words: dict[str, Any]
    text: str


def brief(results: str | Path, state: str, *, form: Format = "md", out: str | Path | None = None) -> Brief:
    """A creative brief for a state, from the folder that `sojourn run` wrote.

    What people in the state want and fear, what brings them in and moves them on, where and when they are found, what
    to say and what not, and two journeys. ``out``: a file for the page. Raises SojournError for a folder without
    results and a state that is not there.

    >>> from tempfile import TemporaryDirectory
    >>> from sojourn.pipelines.run import run
    >>> from sojourn.simulation.customers import simulate
    >>> with TemporaryDirectory() as folder:
    ...     results = run(simulate(20, days=20, seed=1).events, "shop", out=folder, n_threads=1)
    ...     brief(folder, "decision").text.splitlines()[0]
    '# Creative brief: decision'
    """
    words = _write(Path(results), state)
    text = render_brief(words, form)
    if out is not None:
        write_text(text, Path(out))
    return Brief(words, text)


def _write(path: Path, state: str) -> dict[str, Any]:
    folder = ResultsFolder(path)
    missing = [f"{name}.parquet" for name in TABLES if not folder.has(name)]
    command = f"sojourn run EVENTS --playbook PLAYBOOK --out {path}"
    if len(missing) == len(TABLES):
        raise SojournError(Problem(str(path), "holds no results of a run", command=command))
    if missing:
        raise SojournError(Problem(str(path), f"there is no {missing[0]}; an older version made it", command=command))
    names = (*TABLES, *(("triggers",) if folder.has("triggers") else ()))
    tables = {name: folder.read(name, ["state"] if name == "customers" else None) for name in names}
    return write_brief(
        tables,
        folder.read_examples(),
        folder.read_playbook(),
        states=folder.read_json("model")["states"],
        now=datetime.fromisoformat(folder.read_json("run")["now"]),
        state=state,
    )
