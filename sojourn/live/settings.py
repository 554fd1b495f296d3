"""The settings of a project: where things run and how much they may take. What things mean is the playbook."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from sojourn.act.destinations import KINDS, Destination, list_kinds
from sojourn.errors import Problem, SojournError
from sojourn.frames import DAY_S
from sojourn.playbook import MAX_BYTES, Mapped, Reader, Yaml, read_yaml

FILE = "settings.yaml"


@dataclass(frozen=True)
class Settings:
    """What a running project is told. Durations in seconds; None: never, or no limit."""

    host: str = "127.0.0.1"
    port: int = 8000
    store: str = ""
    models: Path | None = None  # the registry of `sojourn retrain`
    results: Path | None = None  # what `sojourn run` wrote
    commit_interval_s: float = 0.005  # how long events may wait for others to be written with
    max_waiting: int = 200_000  # events that may wait before senders are asked to come again
    snapshot_every: int = 2_000_000  # events between two snapshots
    duplicates_within_s: float = 30 * DAY_S
    rate_limit: float | None = None  # events a second and key
    stop_within_s: float = 30.0
    archive_after_s: float | None = 7 * DAY_S
    retention_s: float | None = None
    read_beside: bool = True  # calls in a process of their own, once there are many
    destinations: tuple[Destination, ...] = ()


DESCRIPTIONS = {
    "server.host": "the address to listen on",
    "server.port": "the port to listen on",
    "store": "where the log is: `sqlite:///FILE` (relative to the project) or `postgresql://…`",
    "models": "the folder of `sojourn retrain`, relative to the project: its models in use predict live",
    "results": "the folder that `sojourn run` wrote, relative to the project: its tables can be read at `/v1/results`",
    "commit_interval": "how long an event may wait for others to be written with it",
    "max_waiting": "events that may wait; above it senders are told to come again (429)",
    "snapshot_every": "events between two snapshots, which only shorten a start",
    "duplicates_within": "how long a `messageId` is remembered, so that a call sent again is not counted again",
    "rate_limit": "events a second that one key may send; `never` for no limit",
    "stop_within": "how long a stop may take to write what is waiting",
    "archive_after": "when whole days go from the log into Parquet files; `never`: they stay",
    "retention": "when days of the archive are deleted for good; `never`: they stay",
    "read_beside": "`false`: calls are never read in a second process, which takes the work of a second core",
    "destinations": "where changes are sent: a name, and what follows, for each",
    "destinations.type": "`webhook`, or the kind that an installed package adds",
    "destinations.url": "where to send to",
    "destinations.secret": "the signing secret, `whsec_…`; better is `secret_from`",
    "destinations.secret_from": "the environment variable that holds the signing secret",
    "destinations.changes": f"which changes: some of {', '.join(KINDS)}",
    "destinations.states": "only transitions into these states",
    "destinations.moments": "only these moments",
    "destinations.audiences": "only these audiences",
    "destinations.predictions": "outcomes whose probability, as of now, each message has",
    "destinations.at_least": "only about customers for whom an outcome is as probable: `{churn: 0.7}`",
    "destinations.purpose": "the purpose of consent without which nothing is sent",
    "destinations.max_age": "changes that are older are not sent, as after an import of the past; `never`: all are",
    "destinations.private_addresses": "`true` allows addresses of the own network",
    "destinations.options": "names and texts that a kind of an installed package reads",
    "destinations.timeout": "how long an answer is waited for",
}
"""What each setting is for; the reference has a row for each."""

_KEYS = (
    "server",
    "store",
    "models",
    "results",
    "commit_interval",
    "max_waiting",
    "snapshot_every",
    "duplicates_within",
    "rate_limit",
    "stop_within",
    "archive_after",
    "retention",
    "read_beside",
    "destinations",
)
_DESTINATION = (
    "type",
    "url",
    "secret",
    "secret_from",
    "changes",
    "states",
    "moments",
    "audiences",
    "predictions",
    "at_least",
    "purpose",
    "max_age",
    "private_addresses",
    "options",
    "timeout",
)
_URL = re.compile(r"https?://[^\s/@?#]+(?:[/?][^\s#]*)?\Z")
_SECRET = re.compile(r"whsec_[A-Za-z0-9+/]{16,}={0,2}\Z")


def load_settings(project: Path) -> Settings:
    """The settings of a project's ``settings.yaml``; the defaults where it has none.

    Raises SojournError with every problem, each with its line.

    >>> load_settings(Path("no-such-project")).port
    8000
    """
    path = project / FILE
    try:
        with path.open("rb") as file:
            text = file.read(MAX_BYTES + 1).decode("utf-8-sig")
    except FileNotFoundError:
        text = ""
    except (OSError, UnicodeDecodeError) as error:
        raise SojournError(Problem(str(path), f"the settings cannot be read: {error}")) from None
    return parse_settings(text, project, str(path))


def parse_settings(text: str, project: Path = Path(), where: str = FILE) -> Settings:
    """The settings that a YAML text says for a project in a folder. Raises SojournError with every problem.

    >>> parse_settings("server: {port: 9000}").port, parse_settings("commit_interval: 20ms").commit_interval_s
    (9000, 0.02)
    """
    root, problems = read_yaml(text, where) if text.strip() else (Mapped((), 1, False), [])
    reader = Reader(where)
    reader.problems += problems
    reader.read_section(root, "the settings", _KEYS)
    server = reader.read_section(root.get("server"), "server", ("host", "port"))
    port = reader.read_number(server.get("port"), "server port", 0, 65_535)
    made = Settings(
        host=reader.read_text(server.get("host"), "server host") or Settings.host,
        port=Settings.port if port is None else int(port),
        store=_place_store(reader, root.get("store"), project),
        models=_place_folder(reader, root.get("models"), "models", project),
        results=_place_folder(reader, root.get("results"), "results", project),
        commit_interval_s=_read_short(
            reader, root.get("commit_interval"), "commit_interval", Settings.commit_interval_s
        ),
        max_waiting=_read_whole(reader, root.get("max_waiting"), "max_waiting", Settings.max_waiting),
        snapshot_every=_read_whole(reader, root.get("snapshot_every"), "snapshot_every", Settings.snapshot_every),
        duplicates_within_s=reader.read_duration(root.get("duplicates_within"), "duplicates_within")
        or Settings.duplicates_within_s,
        rate_limit=_read_limit(reader, root.get("rate_limit")),
        stop_within_s=_read_short(reader, root.get("stop_within"), "stop_within", Settings.stop_within_s),
        archive_after_s=_read_age(reader, root.get("archive_after"), "archive_after", Settings.archive_after_s),
        retention_s=_read_age(reader, root.get("retention"), "retention", Settings.retention_s),
        read_beside=_read_switch(reader, root.get("read_beside"), "read_beside", Settings.read_beside),
        destinations=_read_destinations(reader, root.get("destinations")),
    )
    if reader.problems:
        raise SojournError(*dict.fromkeys(reader.problems))
    return made


def _place_store(reader: Reader, node: Yaml | None, project: Path) -> str:
    """The URL of the store, a relative file made absolute."""
    text = reader.read_text(node, "store")
    if text is None:
        return f"sqlite:///{(project / 'live' / 'store.sqlite').absolute()}"
    if text.startswith(("postgresql://", "postgresql+psycopg://", "sqlite:////")):
        return text
    if text.startswith("sqlite:///") and text.removeprefix("sqlite:///"):
        return f"sqlite:///{(project / text.removeprefix('sqlite:///')).absolute()}"
    reader.fail(node.line if node else 1, f"store must begin with sqlite:/// or postgresql://, not '{text[:40]}'")
    return ""


def _place_folder(reader: Reader, node: Yaml | None, name: str, project: Path) -> Path:
    """A folder that need not be there, by default the one of that name in the project."""
    return (project / (reader.read_text(node, name) or name)).absolute()


def _read_whole(reader: Reader, node: Yaml | None, what: str, default: int) -> int:
    value = reader.read_number(node, what, 1, 1e12)
    if value is not None and not value.is_integer():
        reader.fail(node.line if node else 1, f"{what} must be a whole number")
    return default if value is None else int(value)


def _read_limit(reader: Reader, node: Yaml | None) -> float | None:
    if node is None or reader.read_text(node, "rate_limit") == "never":
        return None
    return reader.read_number(node, "rate_limit", 0.001, 1e9)


def _read_short(reader: Reader, node: Yaml | None, what: str, default: float) -> float:
    """A duration that may be in milliseconds."""
    text = reader.read_text(node, what)
    if text is None or node is None:
        return default
    if text.endswith("ms") and text[:-2].isdecimal() and text.isascii() and 0 < int(text[:-2]) <= 60_000:
        return int(text[:-2]) / 1_000
    return reader.read_duration(node, what) or default


def _read_switch(reader: Reader, node: Yaml | None, what: str, default: bool) -> bool:
    return default if node is None else reader.read_bool(node, what)


def _read_age(reader: Reader, node: Yaml | None, what: str, default: float | None) -> float | None:
    if node is None:
        return default
    return None if reader.read_text(node, what) == "never" else reader.read_duration(node, what)


def _read_destinations(reader: Reader, node: Yaml | None) -> tuple[Destination, ...]:
    entries = reader.read_entries(node, "destinations", "destination")
    return tuple(_read_destination(reader, name, line, value) for name, line, value in entries)


def _read_destination(reader: Reader, name: str, line: int, node: Yaml) -> Destination:
    owner = f"destination '{name}'"
    section = reader.read_section(node, owner, _DESTINATION)
    kind = reader.read_choice(section.get("type"), f"{owner} type", list_kinds(), Destination.type)
    is_webhook = kind == Destination.type
    url_node = reader.require(section, "url", owner, line) if is_webhook else section.get("url")
    url = reader.read_text(url_node, f"{owner} url") or ""
    if url and not _URL.match(url):
        reader.fail(line, f"{owner} needs a url as https://example.org/hook, without a user and without #")
    secret = reader.read_text(section.get("secret"), f"{owner} secret")
    secret_from = reader.read_text(section.get("secret_from"), f"{owner} secret_from")
    if is_webhook and (secret is None) == (secret_from is None):
        reader.fail(line, f"{owner} needs either secret_from, an environment variable, or secret")
    if secret is not None and not _SECRET.match(secret):
        reader.fail(line, f"{owner} needs a secret as whsec_ and at least 16 characters of base64")
    changes = _read_names(reader, section.get("changes"), f"{owner} changes")
    for change in changes or ():
        reader.check_known(change, line, owner, "kind of change", KINDS)
    return Destination(
        name=name,
        url=url,
        secret=secret,
        secret_from=secret_from,
        changes=changes or KINDS,
        states=_read_names(reader, section.get("states"), f"{owner} states"),
        moments=_read_names(reader, section.get("moments"), f"{owner} moments"),
        audiences=_read_names(reader, section.get("audiences"), f"{owner} audiences"),
        predictions=_read_names(reader, section.get("predictions"), f"{owner} predictions") or (),
        at_least=_read_least(reader, section.get("at_least"), f"{owner} at_least"),
        purpose=reader.read_text(section.get("purpose"), f"{owner} purpose"),
        max_age_s=_read_age(reader, section.get("max_age"), f"{owner} max_age", Destination.max_age_s),
        is_private_allowed=reader.read_bool(section.get("private_addresses"), f"{owner} private_addresses"),
        timeout_s=_read_short(reader, section.get("timeout"), f"{owner} timeout", Destination.timeout_s),
        type=kind,
        options=_read_options(reader, section.get("options"), f"{owner} options"),
    )


def _read_options(reader: Reader, node: Yaml | None, what: str) -> tuple[tuple[str, str], ...]:
    entries = reader.read_entries(node, what, "option")
    return tuple((name, reader.read_text(value, f"{what} {name}") or "") for name, _, value in entries)


def _read_least(reader: Reader, node: Yaml | None, what: str) -> tuple[tuple[str, float], ...]:
    found = []
    for name, line, value in reader.read_entries(node, what, "outcome"):
        n_problems = len(reader.problems)
        least = reader.read_number(value, f"{what} {name}", 0, 1)
        if least is not None:
            found.append((name, least))
        elif len(reader.problems) == n_problems:
            reader.fail(line, f"{what} needs a probability for '{name}', such as 0.7")
    return tuple(found)


def _read_names(reader: Reader, node: Yaml | None, what: str) -> tuple[str, ...] | None:
    return None if node is None else tuple(text for text, _ in reader.read_texts(node, what))
