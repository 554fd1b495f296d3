"""One new file adds a command, a destination, a kind of model or a page: here from a package that is not Sojourn's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import cast

import pytest
import typer
from typer.testing import CliRunner

from sojourn.act.destinations.port import build_sender, list_kinds
from sojourn.cli.folder import FolderGroup, find_commands
from sojourn.errors import SojournError
from sojourn.frames.plugins import find_plugins, read_constant
from sojourn.live.settings import parse_settings
from sojourn.pages.found import find_pages, render_page
from sojourn.pages.results import Results
from sojourn.predict.candidates import list_candidates
from sojourn.testing import check_destination

MODULES = {
    "added_command": """
        import typer
        SHORT_HELP = "Say hello."
        def command() -> None:
            "Example: `sojourn hello`"
            typer.echo("hello")
    """,
    "added_destination": """
        from sojourn.act.destinations.port import Sent
        KIND = "list"
        ARRIVED = []
        class Sender:
            async def send(self, item, at):
                ARRIVED.append(item.id)
                return Sent("delivered")
            async def close(self):
                pass
        def build(destination):
            return Sender()
    """,
    "added_model": """
        from sojourn.predict.candidates import Candidate
        from sojourn.predict.kinds.logistic import fit_logistic
        NAME = "my regression"
        CANDIDATE = Candidate(NAME, rank=9, is_glass=True, fit=fit_logistic)
    """,
    "added_page": """
        NAME = "greeting"
        def render(results):
            return "<p>hello</p>"
    """,
    "broken_model": "NAME = 'nothing'",
}
ENTRY_POINTS = """
[sojourn.commands]
hello = added_command
[sojourn.destinations]
list = added_destination
[sojourn.models]
my regression = added_model
[sojourn.pages]
greeting = added_page
"""


def install(folder: Path, entry_points: str) -> None:
    """Put a package with these entry points where an installer would."""
    for name, text in MODULES.items():
        (folder / f"{name}.py").write_text(dedent(text), encoding="utf-8")
    about = folder / "added-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: added\nVersion: 1.0\n", encoding="utf-8")
    (about / "entry_points.txt").write_text(entry_points, encoding="utf-8")


@pytest.fixture
def added(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    install(tmp_path, ENTRY_POINTS)
    monkeypatch.syspath_prepend(tmp_path)
    return


@pytest.mark.usefixtures("added")
def test_a_command_is_added() -> None:
    assert "hello" in find_commands()
    app = typer.Typer(cls=FolderGroup)
    app.callback()(lambda: None)
    assert "Say hello." in CliRunner().invoke(app, ["--help"]).stdout
    assert CliRunner().invoke(app, ["hello"]).stdout == "hello\n"


@pytest.mark.usefixtures("added")
def test_a_destination_is_added() -> None:
    assert list_kinds() == ("list", "webhook")
    settings = parse_settings("destinations: {mine: {type: list, options: {table: people}}}")
    [destination] = settings.destinations
    assert (destination.type, destination.options) == ("list", (("table", "people"),))
    import added_destination  # type: ignore[import-not-found]

    assert type(build_sender(destination)) is added_destination.Sender
    check_destination(added_destination, destination, lambda: added_destination.ARRIVED)


def test_a_kind_of_destination_that_is_not_there_is_named_with_the_nearest() -> None:
    assert list_kinds() == ("webhook",)
    with pytest.raises(SojournError, match=r"type must be one of webhook, not 'webhok'\. Did you mean 'webhook'\?"):
        parse_settings("destinations: {a: {type: webhok, url: 'https://x.org', secret_from: A}}")


@pytest.mark.usefixtures("added")
def test_a_kind_of_model_is_added() -> None:
    assert [one.name for one in list_candidates()][-1] == "my regression"


def test_a_kind_of_model_without_a_candidate_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, "[sojourn.models]\nnothing = broken_model\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(SojournError, match="model 'nothing': its module has no CANDIDATE"):
        list_candidates()


@pytest.mark.usefixtures("added")
def test_a_page_is_added() -> None:
    results = cast(Results, None)  # this page reads none
    assert "greeting" in find_pages()
    assert render_page("greeting", results) == "<p>hello</p>"
    with pytest.raises(SojournError, match="Did you mean 'greeting'"):
        render_page("greting", results)


def test_a_file_in_the_folder_is_found_without_importing_it(tmp_path: Path) -> None:
    (tmp_path / "my_plugin.py").write_text("NAME = 'mine'\nraise RuntimeError('imported')\n", encoding="utf-8")
    (tmp_path / "no_plugin.py").write_text("OTHER = 1\n", encoding="utf-8")
    assert find_plugins(tmp_path, "sojourn.none", "NAME") == {"mine": tmp_path / "my_plugin.py"}
    assert set(find_plugins(tmp_path, "sojourn.none")) == {"my-plugin", "no-plugin"}
    assert read_constant(tmp_path / "no_plugin.py", "NAME") is None
