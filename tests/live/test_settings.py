"""Settings: defaults, every key, and errors that say where."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sojourn.errors import SojournError
from sojourn.live.settings import DESCRIPTIONS, Settings, load_settings, parse_settings
from tests import ROOT

PAGE = ROOT / "docs" / "reference" / "settings.md"
ALL = """
server: {host: 0.0.0.0, port: 9000}
store: sqlite:///data/log.sqlite
models: registry
results: /runs/latest
commit_interval: 20ms
max_waiting: 5
snapshot_every: 7
duplicates_within: 2d
rate_limit: 100
stop_within: 5s
archive_after: never
retention: 30d
destinations:
  crm:
    type: webhook
    url: https://crm.example.org/hook?x=1
    secret_from: CRM_SECRET
    changes: [transition, moment]
    states: [fading]
    moments: [cart_doubt]
    audiences: [ready]
    predictions: [churn, conversion]
    at_least: {churn: 0.7}
    purpose: marketing
    max_age: 2h
    private_addresses: true
    timeout: 500ms
"""


def test_every_setting_is_read() -> None:
    found = parse_settings(ALL, Path("/shop"))
    assert (found.host, found.port, found.store) == ("0.0.0.0", 9000, "sqlite:////shop/data/log.sqlite")
    assert (found.models, found.results) == (Path("/shop/registry"), Path("/runs/latest"))
    assert (found.commit_interval_s, found.max_waiting, found.snapshot_every) == (0.02, 5, 7)
    assert (found.duplicates_within_s, found.rate_limit, found.stop_within_s) == (172_800, 100, 5)
    assert (found.archive_after_s, found.retention_s) == (None, 2_592_000)
    [crm] = found.destinations
    assert (crm.name, crm.url, crm.secret_from) == ("crm", "https://crm.example.org/hook?x=1", "CRM_SECRET")
    assert (crm.changes, crm.states, crm.moments, crm.audiences) == (
        ("transition", "moment"), ("fading",), ("cart_doubt",), ("ready",),
    )  # fmt: skip
    assert (crm.predictions, crm.at_least) == (("churn", "conversion"), (("churn", 0.7),))
    assert (crm.purpose, crm.max_age_s, crm.is_private_allowed, crm.timeout_s) == ("marketing", 7_200, True, 0.5)


def test_a_project_without_settings_has_the_defaults(tmp_path: Path) -> None:
    found = load_settings(tmp_path)
    folders = {name: tmp_path / name for name in ("models", "results")}
    assert found == Settings(store=f"sqlite:///{tmp_path}/live/store.sqlite", **folders)
    (tmp_path / "settings.yaml").write_text("")
    assert load_settings(tmp_path) == found


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("retenton: 3d", "settings.yaml:1: the settings has no key 'retenton'"),
        ("server: {prot: 1}", "Did you mean 'port'?"),
        ("server: {port: 70000}", "settings.yaml:1: server port"),
        ("\nstore: mysql://x", "settings.yaml:2: store must begin with sqlite:/// or postgresql://"),
        ("max_waiting: 1.5", "max_waiting must be a whole number"),
        ("commit_interval: fast", "settings.yaml:1: commit_interval"),
        ("rate_limit: 0", "rate_limit"),
        ("destinations: {a: {secret: whsec_MDEyMzQ1Njc4OWFiY2RlZg==}}", "destination 'a' needs 'url'"),
        ("destinations: {a: {url: 'https://x.org'}}", "needs either secret_from, an environment variable, or secret"),
        ("destinations: {a: {url: 'ftp://x.org', secret_from: A}}", "needs a url as https://example.org/hook"),
        ("destinations: {a: {url: 'https://u:p@x.org', secret_from: A}}", "without a user"),
        ("destinations: {a: {url: 'https://x.org', secret: abc}}", "needs a secret as whsec_"),
        ("destinations: {a: {url: 'https://x.org', secret_from: A, changes: [moments]}}", "Did you mean 'moment'?"),
        ("[", "settings.yaml:2: not YAML"),
    ],
)
def test_an_error_says_where_and_what(text: str, said: str) -> None:
    with pytest.raises(SojournError) as error:
        parse_settings(text)
    assert said in str(error.value)


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(SojournError) as error:
        parse_settings("max_waiting: x\nsnapshot_every: y\n")
    assert len(error.value.problems) == 2


def test_secrets_are_not_shown() -> None:
    text = "destinations: {a: {url: 'https://x.org', secret: whsec_MDEyMzQ1Njc4OWFiY2RlZg==}}"
    assert "MDEy" not in repr(parse_settings(text))


def test_every_setting_is_documented() -> None:
    rows = set(re.findall(r"^\| `([a-z_.]+)` \|", PAGE.read_text(encoding="utf-8"), re.M))
    assert rows == set(DESCRIPTIONS)


def test_the_kinds_of_changes_leave_the_kind_of_the_destination_alone() -> None:
    text = "destinations:\n  crm: {url: 'https://example.com/x', secret_from: SECRET, changes: [transition, moment]}\n"
    (crm,) = parse_settings(text, Path("p")).destinations
    assert (crm.type, crm.changes) == ("webhook", ("transition", "moment"))
