"""The job `init`: a project of one's own, begun from a ready playbook."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from sojourn.errors import PlaybookError, Problem, nearest
from sojourn.playbook import list_ready_playbooks, load_playbook

README = """\
# {name}

`playbook.yaml` says what your events mean and which states your customers can be in. It began as the ready
playbook `{name}` of Sojourn: change it until it speaks of your customers.

1. Under `source`, say where your rows keep the customer, the time and the event name.
2. Under `events`, put the names of your events.
3. See what it matches and what it misses:

       sojourn check playbook.yaml EVENTS

4. Who is in which state, since when and why:

       sojourn run EVENTS --playbook playbook.yaml --out results

5. Open `results/report.html`; then look at one customer:

       sojourn explain CUSTOMER --out results

EVENTS is a file (CSV, JSON lines or Parquet), several of them, or a pattern such as 'events/*.parquet'.
"""


def init_project(folder: str | Path, playbook: str = "shop", *, is_forced: bool = False) -> tuple[Path, ...]:
    """The files written: a copy of a ready playbook and, where there is none yet, a page with the next commands.

    Raises PlaybookError when the folder has a playbook already (unless ``is_forced``), when no ready playbook has the
    name, and when the folder cannot be written; nothing is written then.
    """
    ready = list_ready_playbooks()
    if playbook not in ready:
        what = f"'{playbook}' is not a ready playbook; there are {', '.join(ready)}"
        raise PlaybookError(Problem("--playbook", what, nearest(playbook, ready)))
    target = Path(folder)
    book, page = target / "playbook.yaml", target / "README.md"
    if book.exists() and not is_forced:
        command = f"sojourn init {shlex.quote(str(folder))} --playbook {playbook} --force"
        raise PlaybookError(Problem(str(book), "this playbook exists already", command=command))
    texts = {book: load_playbook(playbook).text}
    if not page.exists():
        texts[page] = README.format(name=playbook)
    try:
        target.mkdir(parents=True, exist_ok=True)
        for path, text in texts.items():
            partial = path.with_name(f".{path.name}.{os.getpid()}.tmp")
            partial.write_text(text, encoding="utf-8")
            partial.replace(path)  # whole or not at all
    except OSError as error:
        raise PlaybookError(Problem(str(target), f"cannot be written: {error.strerror or error}")) from None
    return tuple(texts)
