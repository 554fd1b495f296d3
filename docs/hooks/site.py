"""Hooks of MkDocs: the navigation, a page per package, and formulae that need no script.

Nothing is listed twice. A page that docs/index.md names is in the navigation. A package of ``sojourn`` has a page in
the Python reference, with what :mod:`faces` finds public in it.
"""

from __future__ import annotations

import html
import re
from functools import cache
from pathlib import Path
from typing import Any

from faces import Face, read_pages
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


@cache
def find_pages() -> dict[str, list[Face]]:
    return read_pages(ROOT)


def find_owners(pages: dict[str, list[Face]]) -> dict[str, str]:
    """The page that shows each definition: the first one, so that each is shown once."""
    owners: dict[str, str] = {}
    for page, faces in pages.items():
        for face in faces:
            for name in face.names:
                owners.setdefault(name.home, page)
    return owners


def write_page(page: str, pages: dict[str, list[Face]]) -> str:
    """The source of a page: mkdocstrings fills it from signatures and docstrings. What another page shows is linked."""
    owners = find_owners(pages)
    shown: set[str] = set()
    lines = [f"---\ntitle: {page}\n---\n", f"# {page}\n"]
    for face in pages[page]:
        if face.package != page:
            lines.append(f"## {face.package}\n")
        if face.summary:
            lines.append(f"{face.summary}\n")
        linked = [name for name in face.names if owners[name.home] != page and not name.is_constant]
        if constants := [f"`{name.name}`" for name in face.names if name.is_constant]:
            lines.append(f"Constants: {', '.join(constants)}\n")
        for name in face.names:
            if name.is_constant:
                continue
            if owners[name.home] == page and name.home not in shown:
                shown.add(name.home)
                lines.append(f"::: {name.home}\n")
        if linked:
            lines.append("Also public here:\n")
            lines += [f"- [`{n.name}`]({owners[n.home]}.md#{n.home}): {n.summary}" for n in linked]
            lines.append("")
    return "\n".join(lines)


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
                entries.append({title: [path, *({package: f"{API_FOLDER}/{package}.md"} for package in packages)]})
            elif path == DECISIONS:
                entries += [path, *sorted(f"decisions/{p.name}" for p in (docs / "decisions").glob("0*.md"))]
            else:
                entries.append({title: path})
        navigation.append({heading: entries})
    return navigation


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Set the navigation, before MkDocs would derive one from the folders."""
    config.nav = make_navigation(Path(config.docs_dir), list(find_pages()))
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages of the packages; they exist in memory only."""
    for page in find_pages():
        source = write_page(page, find_pages())
        files.append(File.generated(config, f"{API_FOLDER}/{page}.md", content=source))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """On the page of the Python API: a table of the packages, with the first paragraph of each docstring."""
    if page.file.src_uri != API_INDEX:
        return markdown
    if PACKAGES_MARK not in markdown:
        raise PluginError(f"docs/{API_INDEX} has no place for the packages: {PACKAGES_MARK}")
    rows = ["| package | what it is | public names |", "|---|---|---|"]
    for name, faces in find_pages().items():
        summary = next((face.summary for face in faces if face.package == name), "").replace("|", "\\|")
        rows.append(f"| [`{name}`]({name}.md) | {summary} | {sum(len(face.names) for face in faces)} |")
    return markdown.replace(PACKAGES_MARK, "\n".join(rows))


def on_page_content(content: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Formulae as MathML, which browsers draw themselves."""
    return FORMULA.sub(draw_formula, content)


def draw_formula(found: re.Match[str]) -> str:
    """The MathML of a formula that Arithmatex has marked."""
    if found[2] == "(":
        return convert(html.unescape(found[3]))
    return f'<div class="formula">{convert(html.unescape(found[3]), display="block")}</div>'
