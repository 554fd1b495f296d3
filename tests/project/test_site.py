"""The documentation site builds without a warning, needs no other host, and has a page per package."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
LOADING = {"script": "src", "link": "href", "img": "src", "iframe": "src", "source": "src", "video": "src"}
LINKS_ONLY = {"canonical", "next", "prev"}  # of <link>: where a page lies, nothing is loaded


def read_module(name: str) -> ModuleType:
    """A file of docs/_site, which is no package."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / "_site" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Loads(HTMLParser):
    """Collects the addresses from which a page loads something."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        address = given.get(LOADING.get(tag, ""))
        if address and given.get("rel") not in LINKS_ONLY:
            self.found.append(address)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A build of the whole site in strict mode."""
    pytest.importorskip("mkdocs", reason="the extra 'docs' is not installed")
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "NO_MKDOCS_2_WARNING": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return folder


@pytest.mark.slow
def test_every_page_is_built(site: Path) -> None:
    docs = ROOT / "docs"
    pages = {p.relative_to(docs).with_suffix(".html") for p in docs.rglob("*.md")}
    named = {p.with_name("index.html") if p.name == "README.html" else p for p in pages}
    assert [str(p) for p in sorted(named) if not (site / p).is_file()] == []


@pytest.mark.slow
def test_nothing_is_loaded_from_another_host(site: Path) -> None:
    found = []
    for page in site.rglob("*.html"):
        loads = Loads()
        loads.feed(page.read_text(encoding="utf-8"))
        found += [f"{page.relative_to(site)}: {one}" for one in loads.found if re.match(r"(https?:)?//", one)]
    for sheet in site.rglob("*.css"):
        text = sheet.read_text(encoding="utf-8")
        found += [f"{sheet.name}: {one}" for one in re.findall(r"(?:url\(|@import )[\"']?(?:https?:)?//[^)\"']+", text)]
    assert found == []


@pytest.mark.slow
def test_every_public_name_is_described(site: Path) -> None:
    faces = read_module("hooks").find_faces()
    assert "sojourn" in faces
    for package, names in faces.items():
        text = (site / "reference" / "python" / f"{package}.html").read_text(encoding="utf-8")
        anchors = set(re.findall(r' id="([\w.]+)"', text))
        titles = set(re.findall(r'<span class="doc doc-object-name doc-\w+-name">([\w.]+)</span>', text))
        missing = [name for name in names if f"{package}.{name}" not in anchors or name not in titles]
        assert not missing, f"{package}: not on its page: {missing}"


@pytest.mark.slow
def test_examples_and_formulae_are_drawn(site: Path) -> None:
    python = (site / "reference" / "python" / "sojourn.html").read_text(encoding="utf-8")
    assert '<span class="gp">&gt;&gt;&gt; </span>' in python  # an example, coloured as one
    assert "<blockquote>" not in python  # what '>>>' would become
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        assert 'class="arithmatex"' not in text, page.name
    assert "<math" in (site / "reference" / "transitions.html").read_text(encoding="utf-8")


def test_doctests_are_fenced() -> None:
    pytest.importorskip("griffe", reason="the extra 'docs' is not installed")
    fences = read_module("doctest_fences")
    text = "What it does.\n\n>>> f(1)\n2\n\nMore about :class:`~sojourn.playbook.Playbook`."
    assert fences.fence_doctests(text).splitlines()[3:6] == ["```pycon", ">>> f(1)", "2"]
    assert fences.plain_roles(text).endswith("More about `Playbook`.")
    assert fences.fence_doctests("Plain.") == "Plain."
