"""Hooks of MkDocs: the navigation, a page per package, and formulae that need no script.

Nothing is listed twice: a page that docs/index.md names is in the navigation, and a package whose ``__init__`` has an
``__all__`` has a page in the Python reference.
"""

from __future__ import annotations

import html
import importlib
import re
from pathlib import Path
from typing import Any

from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
API_FOLDER = "reference/python"
API_INDEX = "reference/python/index.md"
DECISIONS = "decisions/README.md"
PACKAGES_MARK = "<!-- packages -->"
FORMULA = re.compile(r'<(span|div) class="arithmatex">\\([(\[])(.*?)\\[)\]]</\1>', re.DOTALL)


def find_faces(root: Path = ROOT) -> dict[str, list[str]]:
    """The public names of each package that declares some, by dotted name, ``sojourn`` first."""
    faces: dict[str, list[str]] = {}
    for init in sorted((root / "sojourn").rglob("__init__.py"), key=lambda path: path.parts[:-1]):
        name = ".".join(init.parent.relative_to(root).parts)
        public = getattr(importlib.import_module(name), "__all__", None)
        if public:
            faces[name] = list(public)
    return faces


def api_path(package: str) -> str:
    """Where the page of a package lies, from the folder of the docs."""
    return f"{API_FOLDER}/{package}.md"


def api_page(package: str, names: list[str]) -> str:
    """The source of the page of a package: mkdocstrings fills it from signatures and docstrings."""
    head = f"---\ntitle: {package}\n---\n\n::: {package}\n    options: {{members: false}}\n"
    blocks = []
    for name in sorted(names):
        home = find_home(package, name)
        anchor = "" if home == f"{package}.{name}" else f"[](){{#{package}.{name}}}\n\n"
        blocks.append(f"{anchor}::: {home}\n    options: {{heading_level: 2, show_root_full_path: false}}\n")
    return "\n".join([head, *blocks])


def find_home(package: str, name: str) -> str:
    """The path by which Griffe finds a public name: where it is defined, if a package of the same name hides it."""
    hidden_by = ROOT.joinpath(*package.split("."), name)
    if not (hidden_by.is_dir() or hidden_by.with_suffix(".py").is_file()):
        return f"{package}.{name}"
    found = getattr(importlib.import_module(package), name)
    return f"{found.__module__}.{found.__qualname__}" if hasattr(found, "__qualname__") else f"{package}.{name}"


def read_index(text: str) -> dict[str, list[tuple[str, str]]]:
    """The links of docs/index.md by the heading above them, as (title, path), in order."""
    sections: dict[str, list[tuple[str, str]]] = {}
    heading = ""
    for line in text.splitlines():
        if found := re.match(r"## (.+)", line):
            heading = found[1]
        elif heading and (found := re.match(r"- \[(.+?)\]\((\S+?\.md)\)", line)):
            sections.setdefault(heading, []).append((found[1], found[2]))
    return sections


def make_navigation(docs: Path, packages: list[str]) -> list[Any]:
    """The navigation: what docs/index.md lists, all decisions, and the pages of the packages."""
    navigation: list[Any] = [{"Home": "index.md"}, {"Tutorial": "tutorial.md"}]
    for heading, links in read_index((docs / "index.md").read_text(encoding="utf-8")).items():
        entries: list[Any] = []
        for title, path in links:
            if path == API_INDEX:
                pages = [{package: api_path(package)} for package in packages]
                entries.append({title: [path, *pages]})
            elif path == DECISIONS:
                entries += [path, *sorted(f"decisions/{p.name}" for p in (docs / "decisions").glob("0*.md"))]
            else:
                entries.append({title: path})
        navigation.append({heading: entries})
    return navigation


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Set the navigation, before MkDocs would derive one from the folders."""
    config.nav = make_navigation(Path(config.docs_dir), list(find_faces()))
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages of the packages; they exist in memory only."""
    for package, names in find_faces().items():
        files.append(File.generated(config, api_path(package), content=api_page(package, names)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """On the page of the Python API: a table of the packages, with the first line of each docstring."""
    if page.file.src_uri != API_INDEX:
        return markdown
    if PACKAGES_MARK not in markdown:
        raise PluginError(f"docs/{API_INDEX} has no place for the packages: {PACKAGES_MARK}")
    rows = [
        f"| [`{package}`]({package}.md) | {first_line(package)} | {len(names)} |"
        for package, names in find_faces().items()
    ]
    table = "\n".join(["| package | what it is | public names |", "|---|---|---|", *rows])
    return markdown.replace(PACKAGES_MARK, table)


def on_page_content(content: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Formulae as MathML, which browsers draw themselves."""
    return FORMULA.sub(draw_formula, content)


def draw_formula(found: re.Match[str]) -> str:
    """The MathML of a formula that Arithmatex has marked."""
    return convert(html.unescape(found[3]), display="inline" if found[2] == "(" else "block")


def first_line(package: str) -> str:
    """The first line of the docstring of a package."""
    return (importlib.import_module(package).__doc__ or "").strip().partition("\n")[0].replace("|", "\\|")
