"""From YAML nodes to a :class:`~sojourn.playbook.Playbook`: every section read and checked, all problems at once."""

from __future__ import annotations

from dataclasses import replace
from importlib.resources import files
from pathlib import Path

from sojourn.errors import PlaybookError, Problem, nearest
from sojourn.playbook.objects import Playbook
from sojourn.playbook.reader import KEYS, Reader
from sojourn.playbook.rules import Vocabulary
from sojourn.playbook.sections import (
    read_activations,
    read_audiences,
    read_consent,
    read_events,
    read_features,
    read_fingerprint,
    read_model,
    read_moments,
    read_outcomes,
    read_segments,
    read_source,
    read_stability,
    read_states,
    read_targets,
)
from sojourn.playbook.yaml import MAX_BYTES, Mapped, Yaml, read_yaml


def read_playbook(text: str, where: str) -> Playbook:
    """The playbook of a YAML text. Raises PlaybookError with every problem, sorted by line."""
    root, problems = read_yaml(text, where)
    reader = Reader(where)
    reader.problems += problems
    playbook = _read_sections(reader, root, text)
    if reader.problems:
        found = sorted(dict.fromkeys(reader.problems), key=lambda p: int(p.where.rpartition(":")[2]))
        found[-1] = replace(found[-1], command=f"sojourn check {where}")
        if reader.n_dropped:
            found.append(Problem(where, f"{reader.n_dropped:,} more problems are not shown"))
        raise PlaybookError(*found)
    return playbook


def _read_sections(reader: Reader, root: Mapped, text: str) -> Playbook:
    reader.read_section(root, "a playbook", KEYS[""])
    name = reader.read_text(reader.require(root, "playbook", "a playbook", 1), "playbook") or ""
    if name:
        reader.check_name(name, root.line, "playbook")
    protected = tuple(word for word, _ in reader.read_texts(root.get("protected"), "protected"))
    source = read_source(reader, root.get("source"), protected)
    events = read_events(reader, root.get("events"), source, protected)
    words = Vocabulary(
        classes=(*_list_names(root.get("events")), "other"),
        measures=tuple(sorted({m for event in events for m, _ in event.measures})),
        properties=tuple(sorted({p for event in events for p, _ in event.properties})),
        moments=_list_names(root.get("moments")),
        states=_list_names(root.get("states")),
        segments=_list_names(root.get("segments")),
        outcomes=_list_names(root.get("outcomes")),
        protected=protected,
    )
    moments = read_moments(reader, root.get("moments"), words)
    features, words = read_features(reader, root.get("features"), words)
    touches = tuple(event.name for event in events if event.is_touch)
    states = read_states(reader, root, words, touches)
    names = _list_names(root.get("features"))
    fingerprint = read_fingerprint(reader, root.get("fingerprint"), names, features, touches)
    reading = replace(words, is_audience=True)
    segments = read_segments(reader, root.get("segments"), replace(reading, segments=()))
    consent = read_consent(reader, root.get("consent"))
    audiences = read_audiences(reader, root.get("audiences"), reading, tuple(p.name for p in consent))
    activations = read_activations(reader, root.get("activations"), reading, _list_names(root.get("audiences")))
    return Playbook(
        name=name,
        version=reader.read_text(root.get("version"), "version") or "1",
        about=reader.read_text(root.get("about"), "about") or "",
        path=None,
        text=text,
        source=source,
        events=events,
        features=features,
        fingerprint=fingerprint,
        model=read_model(reader, root.get("model")),
        states=states,
        moments=moments,
        outcomes=read_outcomes(reader, root.get("outcomes"), words),
        segments=segments,
        audiences=audiences,
        protected=protected,
        consent=consent,
        activations=activations,
        stability=read_stability(reader, root.get("stability")),
        targets=read_targets(reader, root.get("targets"), words.states),
        warnings=tuple(reader.warnings),
    )


def _list_names(node: Yaml | None) -> tuple[str, ...]:
    """The names that a section defines. Contents with problems do not matter: a reference is no second one."""
    return tuple(key.text for key, _ in node.pairs) if isinstance(node, Mapped) else ()


def load_playbook(path_or_name: str | Path) -> Playbook:
    """The playbook of a file, or a ready one by its name. Raises PlaybookError with every problem found.

    >>> load_playbook("shop").state_names[0]
    'discovery'
    """
    path = Path(path_or_name)
    is_name = isinstance(path_or_name, str) and path_or_name.isidentifier() and not path.is_file()
    if is_name:
        ready = list_ready_playbooks()
        if path_or_name not in ready:
            raise PlaybookError(
                Problem(
                    "",
                    f"there is no file and no ready playbook called '{path_or_name}'; ready are {', '.join(ready)}",
                    nearest(str(path_or_name), ready),
                )
            )
        path = Path(str(files("sojourn.playbook") / "ready" / f"{path_or_name}.yaml"))
    try:
        with path.open("rb") as file:
            text = file.read(MAX_BYTES + 1).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise PlaybookError(Problem(f"{path}:{line}", "this is not UTF-8 text; save the playbook as UTF-8")) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise PlaybookError(
            Problem(
                str(path), f"the playbook cannot be read: {reason}", command="sojourn init my-project --playbook shop"
            )
        ) from None
    return replace(parse_playbook(text, str(path_or_name)), path=path)


def list_ready_playbooks() -> tuple[str, ...]:
    """Names of the playbooks that come with Sojourn, sorted."""
    folder = files("sojourn.playbook") / "ready"
    return tuple(sorted(p.name.removesuffix(".yaml") for p in folder.iterdir() if p.name.endswith(".yaml")))


def parse_playbook(text: str, where: str = "playbook") -> Playbook:
    """The playbook that a YAML text says; ``where`` names it in problems. Raises PlaybookError with every problem.

    >>> parse_playbook("playbook: x", "x.yaml")
    Traceback (most recent call last):
    ...
    sojourn.errors.PlaybookError: x.yaml:1: a playbook needs 'events': what each raw event means.
    x.yaml:1: a playbook needs at least two states; this one has 0. Run: sojourn check x.yaml
    """

    return read_playbook(text, where)
