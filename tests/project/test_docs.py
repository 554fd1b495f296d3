"""What the README and the docs say is so: every block runs, every link leads somewhere, no option is missing.

How a page is read. Its blocks run in order, in one empty folder per page:

- ``console``: lines that begin with ``$ `` run in bash and must succeed. Other lines are sample output: each
  must appear in what the block really printed, numbers and bars aside; ``…`` stands for anything.
- ``python``: runs on its own and must succeed.
- ``yaml`` that begins with ``playbook:`` must be a valid playbook.
- a block after ``<!-- file: NAME -->`` is first written to that file.
- a block after ``<!-- not run: REASON -->`` is only read. ``text`` blocks are pictures, not commands.
"""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import typer

from sojourn.cli.main import app
from sojourn.frames import schemas as frames
from tests import ROOT

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
PAGE_NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
BLOCK = re.compile(
    r"(?:^<!-- (?P<mark>file|not run): (?P<value>[^>]+?) -->\n\n?)?^```(?P<language>\w*)\n(?P<body>.*?)^```$",
    re.M | re.S,
)
SECONDS_PER_BLOCK = 300
ENTRY_POINTS = {f"sojourn.{group}" for group in ("commands", "destinations", "models", "pages", "policies", "sources")}
"""Groups of entry points: names that are not of modules."""


@dataclass(frozen=True)
class Block:
    page: str
    line: int
    language: str
    body: str
    file: str | None
    why_not_run: str | None


def blocks_of(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    return [
        Block(
            page=str(page.relative_to(ROOT)),
            line=text.count("\n", 0, match.start()) + 1,
            language=match["language"],
            body=match["body"],
            file=match["value"] if match["mark"] == "file" else None,
            why_not_run=match["value"] if match["mark"] == "not run" else None,
        )
        for match in BLOCK.finditer(text)
    ]


def run(command: list[str], folder: Path, block: Block) -> str:
    """Standard output and error of the command, which must succeed; `sojourn` is the one under test."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "PATH": path, "NO_COLOR": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SECONDS_PER_BLOCK,
        check=False,
    )
    assert done.returncode == 0, f"{block.page}:{block.line} ended with {done.returncode}\n{done.stdout}"
    return done.stdout


def bare(line: str) -> str:
    """The line without what changes from run to run: numbers become #, bars and repeated blanks go."""
    line = re.sub(r"[▏▎▍▌▋▊▉█]+", " ", line)
    return re.sub(r"\s+", " ", re.sub(r"[−-]?\d[\d,.:]*", "#", line)).strip()


def run_console(block: Block, folder: Path) -> None:
    lines = block.body.replace("\\\n", "").splitlines()
    commands = [line[2:] for line in lines if line.startswith("$ ")]
    samples = [bare(line) for line in lines if line.strip() and not line.startswith("$ ")]
    assert commands, f"{block.page}:{block.line}: a console block without a command"
    printed = [
        bare(line) for line in run(["bash", "-euo", "pipefail", "-c", "\n".join(commands)], folder, block).splitlines()
    ]
    for sample in samples:
        pattern = re.compile(".*".join(re.escape(part) for part in sample.split("…")))
        assert any(pattern.fullmatch(line) for line in printed), (
            f"{block.page}:{block.line} promises a line that was not printed:\n  {sample}\nprinted:\n  "
            + "\n  ".join(printed)
        )


def run_block(block: Block, folder: Path) -> None:
    if block.why_not_run is not None:
        return
    if block.file is not None:
        target = folder / block.file
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(block.body, encoding="utf-8")
    if block.language == "console":
        run_console(block, folder)
    elif block.language == "python":
        run([sys.executable, "-c", block.body], folder, block)
    elif block.language == "yaml" and block.body.startswith("playbook:"):
        from sojourn.playbook.load import parse_playbook

        parse_playbook(block.body, f"{block.page}:{block.line}")
    else:
        is_accounted_for = block.file is not None or block.language == "text"
        assert is_accounted_for, (
            f"{block.page}:{block.line}: this {block.language or 'plain'} block does nothing; say why"
        )


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=PAGE_NAMES)
def test_every_block_runs(page: Path, tmp_path: Path) -> None:
    for block in blocks_of(page):
        run_block(block, tmp_path)


@pytest.mark.parametrize("page", PAGES, ids=PAGE_NAMES)
def test_every_fence_is_understood(page: Path) -> None:
    fences = len(re.findall(r"^```", page.read_text(encoding="utf-8"), re.M))
    assert fences == 2 * len(blocks_of(page))


@pytest.mark.parametrize("page", PAGES, ids=PAGE_NAMES)
def test_a_block_that_is_not_run_says_why(page: Path) -> None:
    short = [b.line for b in blocks_of(page) if b.why_not_run is not None and len(b.why_not_run.split()) < 3]
    assert not short, f"no real reason at lines {short}"


def anchors_of(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", re.sub(BLOCK, "", page.read_text(encoding="utf-8")), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=PAGE_NAMES)
def test_every_link_leads_somewhere(page: Path) -> None:
    text = re.sub(BLOCK, "", page.read_text(encoding="utf-8"))
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"https?://|mailto:", target):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        if not there.exists() or (anchor and anchor not in anchors_of(there)):
            broken.append(target)
    assert not broken


@pytest.mark.parametrize("page", [p for p in PAGES if p.parts[-2] != "decisions"], ids=lambda p: p.name)
def test_every_page_is_linked(page: Path) -> None:
    others = [p for p in PAGES if p != page]
    links = {
        (other.parent / target.partition("#")[0]).resolve()
        for other in others
        for target in re.findall(r"\]\(([^)\s]+)\)", other.read_text(encoding="utf-8"))
    }
    assert page in links or page.name == "README.md"


def test_every_decision_is_in_the_index() -> None:
    index = (ROOT / "docs" / "decisions" / "README.md").read_text(encoding="utf-8")
    records = sorted(p.name for p in (ROOT / "docs" / "decisions").glob("0*.md"))
    assert re.findall(r"^\| \[\d{4}\]\((.+?)\) \|", index, re.M) == records


def cli_commands() -> dict[str, Any]:
    """Every command by what one types for it, those inside groups too."""
    found: dict[str, Any] = {}

    def visit(name: str, command: Any) -> None:
        found[name] = command
        for inner in command.list_commands(None) if hasattr(command, "list_commands") else ():
            visit(f"{name} {inner}", command.get_command(None, inner))

    visit("sojourn", typer.main.get_command(app))
    return found


def cli_section(command: str) -> str:
    text = (ROOT / "docs" / "reference" / "cli.md").read_text(encoding="utf-8")
    found = re.search(rf"^## {re.escape(command)}\n(.*?)(?=^## |\Z)", text, re.M | re.S)
    assert found, f"docs/reference/cli.md has no section '## {command}'"
    return found[1]


@pytest.mark.parametrize("command", sorted(cli_commands()))
def test_the_reference_has_every_command_and_option(command: str) -> None:
    section = cli_section(command)
    params = [p for p in cli_commands()[command].params if p.name != "help"]
    options = {name for p in params if p.param_type_name == "option" for name in p.opts}
    arguments = {p.metavar for p in params if p.param_type_name == "argument"}
    documented = set(re.findall(r"^\|[^|]*?`(-[^|]*)`", section, re.M))
    rows = " ".join(documented)
    assert [o for o in sorted(options) if not re.search(rf"(?<![\w-]){re.escape(o)}(?![\w-])", rows)] == []
    assert [a for a in sorted(arguments) if f"`{a}`" not in section] == []
    invented = set(re.findall(r"(?<![\w-])--?[a-z][\w-]*", rows)) - options
    assert not invented, f"documented, but not there: {invented}"


@pytest.mark.parametrize("command", sorted(cli_commands()))
def test_help_opens_with_an_example_of_that_command(command: str) -> None:
    text = cli_commands()[command].help
    assert re.match(rf"Example: `{command}( |\w|`)", text), text


def columns_of_outputs() -> list[tuple[str, str]]:
    tables = {
        "quarantine": frames.QUARANTINE,
        "transitions": frames.TRANSITIONS,
        "history": frames.HISTORY,
        "customers": frames.customers_schema([], []),
    }
    return [(table, column) for table, schema in tables.items() for column in schema.names]


@pytest.mark.parametrize(("table", "column"), columns_of_outputs())
def test_the_reference_has_every_column(table: str, column: str) -> None:
    text = (ROOT / "docs" / "reference" / "outputs.md").read_text(encoding="utf-8")
    section = re.search(rf"^## {table}\.parquet\n(.*?)(?=^## |\Z)", text, re.M | re.S)
    assert section, f"docs/reference/outputs.md has no section '## {table}.parquet'"
    assert re.search(rf"^\| `{column}` \|", section[1], re.M), f"{table}.{column} is not described"


def is_there(path: str) -> bool:
    """Whether a dotted name leads to a module or to something in one."""
    parts = path.split(".")
    for n in range(len(parts), 0, -1):
        try:
            found: Any = importlib.import_module(".".join(parts[:n]))
        except ModuleNotFoundError:
            continue
        for part in parts[n:]:
            found = getattr(found, part, None)
        return found is not None
    return False


@pytest.mark.parametrize("page", [p for p in PAGES if p.parts[-2] != "decisions"], ids=lambda p: p.name)
def test_every_name_in_the_code_is_there(page: Path) -> None:
    text = re.sub(BLOCK, "", page.read_text(encoding="utf-8"))
    names = {name.strip(".") for name in re.findall(r"`(sojourn\.[\w.]+)(?:\([^`]*\))?`", text)} - ENTRY_POINTS
    files = set(re.findall(r"`(sojourn/[\w./]+)`", text))
    assert sorted(name for name in names if not is_there(name)) == []
    assert sorted(file for file in files if not (ROOT / file).exists()) == []


def test_the_drawing_has_the_layers_of_the_contract() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = project["tool"]["importlinter"]["contracts"]
    [layers] = [one["layers"] for one in contracts if one["type"] == "layers"]
    drawing = (ROOT / "docs" / "explanation" / "figures" / "packages.svg").read_text(encoding="utf-8")
    drawn: dict[str, list[str]] = {}
    for y, name in re.findall(r'<text class="name" x="[\d.]+" y="(\d+)">(\w+)</text>', drawing):
        drawn.setdefault(y, []).append(name)
    assert list(drawn.values()) == [re.split(r" [|:] ", layer) for layer in layers]
