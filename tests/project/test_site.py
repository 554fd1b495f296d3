"""The documentation site: what the Python reference shows, and that the whole site builds without another host."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


def load_hook(name: str) -> ModuleType:
    spec = spec_from_file_location(name, ROOT / "docs" / "hooks" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


faces = load_hook("faces")

FILES = {
    "__init__.py": '"""The top."""\nfrom sojourn.stubbed import Made\n__all__ = ["Made"]\n',
    "stubbed/__init__.py": '"""A face."""\nimport lazy_loader\n__all__ = lazy_loader.attach_stub(__name__, __file__)\n',
    "stubbed/__init__.pyi": 'from .made import Made as Made, make as make\n__all__ = ["Made", "make"]\n',
    "stubbed/made.py": 'class Made:\n    """A thing."""\ndef make():\n    """Make it."""\ndef n():\n    """No."""\n',
    "listed/__init__.py": '"""Listed."""\nfrom sojourn.listed.one import a\nSIZE = 3\n__all__ = ["SIZE", "a"]\n',
    "listed/one.py": 'def a():\n    """First."""\n',
    "listed/inner/__init__.py": '"""…"""\n',
    "listed/inner/hidden.py": 'def hidden():\n    """Not in the face."""\n',
    "plain/__init__.py": '"""…"""\n',
    "plain/two.py": '"""Two."""\ndef b():\n    """Second."""\ndef _c():\n    """No."""\ndef d(): ...\n',
    "cli/__init__.py": "",
    "cli/main.py": 'def main():\n    """Run."""\n',
    "errors.py": 'class Bad(Exception):\n    """Bad input."""\n',
}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        file = tmp_path / "sojourn" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(
    ("page", "homes"),
    [
        ("sojourn", ["sojourn.stubbed.made.Made"]),
        ("sojourn.stubbed", ["sojourn.stubbed.made.Made", "sojourn.stubbed.made.make"]),
        ("sojourn.listed", ["sojourn.listed.SIZE", "sojourn.listed.one.a"]),
        ("sojourn.plain", ["sojourn.plain.two.b"]),
        ("sojourn.errors", ["sojourn.errors.Bad"]),
    ],
)
def test_a_page_shows_what_the_stub_the_list_or_the_modules_make_public(
    tree: Path, page: str, homes: list[str]
) -> None:
    pages = faces.read_pages(tree)
    assert [name.home for face in pages[page] for name in face.names] == homes


def test_the_command_line_has_no_page(tree: Path) -> None:
    assert list(faces.read_pages(tree)) == [
        "sojourn", "sojourn.errors", "sojourn.listed", "sojourn.plain", "sojourn.stubbed",
    ]  # fmt: skip


def test_every_package_of_sojourn_has_a_page_and_every_declared_name_a_home() -> None:
    pages = faces.read_pages(ROOT)
    folders = {f"sojourn.{p.parent.name}" for p in (ROOT / "sojourn").glob("*/__init__.py")}
    assert set(pages) >= folders - {"sojourn.cli"}
    import sojourn

    shown = {name.name for face in pages["sojourn"] for name in face.names}
    assert set(sojourn.__all__) - {"__version__", "__doc__"} <= shown | {"fold", "hmm", "testing"}


ARCHITECTURE = ROOT / "docs" / "explanation" / "architecture.md"


def test_the_figure_of_the_packages_has_the_layers_of_the_contract() -> None:
    contract = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]
    layers = next(one["layers"] for one in contract if one["type"] == "layers")
    packages = [name for layer in layers for name in layer.split(" | ")]
    figure = (ARCHITECTURE.parent / "figures" / "packages.svg").read_text(encoding="utf-8")
    assert re.findall(r'class="name"[^>]*>(\w+)<', figure) == packages
    assert re.findall(r"^\| `(\w+)` \|", ARCHITECTURE.read_text(encoding="utf-8"), re.M) == packages


def test_the_modules_that_the_architecture_names_are_there() -> None:
    named = re.findall(r"`(\w+/[\w/]*(?:\.py)?)`", ARCHITECTURE.read_text(encoding="utf-8"))
    paths = [path for path in named if not path.startswith(("sojourn/", "v1/"))]
    assert len(paths) > 20
    assert [path for path in paths if not (ROOT / "sojourn" / path).exists()] == []


@pytest.mark.slow
def test_the_site_builds_and_loads_nothing_from_another_host(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs", reason="the site needs the extra: pip install 'sojourn[docs]'")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    site = tmp_path / "site"
    loaded = {
        found
        for page in site.rglob("*.html")
        for found in re.findall(
            r"<(?:script|img|iframe|link)\b[^>]*?\b(?:src|href)=\"?(https?://[^\s\">]+)",
            page.read_text(encoding="utf-8"),
        )
    }
    assert not loaded
    for page in (ROOT / "docs").rglob("*.md"):
        assert (site / page.relative_to(ROOT / "docs")).with_suffix(".html").exists() or page.name == "README.md"
    assert "sojourn.pipelines.run.run" in (site / "reference" / "python" / "sojourn.html").read_text(encoding="utf-8")
    assert 'class="arithmatex"' not in (site / "explanation" / "triggers.html").read_text(encoding="utf-8")
    assert (site / "search" / "search_index.js").exists()
