"""The floor plan: how many rooms, how large, which doors, who may use which library. DESIGN §3."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HOUSE = ROOT / "sojourn"
MOST_ENTRIES, MOST_FILES, MOST_LINES, MOST_HIDDEN, MOST_UNFORMATTED = 20, 26, 500, 40, 50
FACE = re.compile(
    r"import lazy_loader\n\n__getattr__, __dir__, __all__ = lazy_loader\.attach_stub\(__name__, __file__\)\n"
)
MODULES = sorted(HOUSE.rglob("*.py"))
PACKAGES = sorted(p.parent for p in MODULES if p.name == "__init__.py" and p.parent != HOUSE)
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
LIBRARIES: dict[str, list[str]] = SETTINGS["tool"]["sojourn"]["libraries"]


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


NAMES = {name_of(path): path for path in MODULES}


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def entries(folder: Path) -> list[Path]:
    """What git would keep of a folder: no caches."""
    return [p for p in folder.iterdir() if p.name != "__pycache__" and not p.name.startswith(".")]


def is_for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def walk_imports(node: ast.AST, is_hidden: bool = False) -> Iterator[tuple[ast.Import | ast.ImportFrom, bool]]:
    """Each import that is run, and whether it is inside a function."""
    for child in ast.iter_child_nodes(node):
        if is_for_types(child):
            continue
        if isinstance(child, (ast.Import, ast.ImportFrom)):
            yield child, is_hidden
        is_function = isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        yield from walk_imports(child, is_hidden or is_function)


@cache
def faces() -> dict[str, dict[str, str]]:
    """For each package, which module each name of its face comes from."""
    found: dict[str, dict[str, str]] = {}
    for package in PACKAGES:
        stub = package / "__init__.pyi"
        nodes = tree_of(stub).body if stub.exists() else []
        name = name_of(package / "__init__.py")
        found[name] = {
            alias.name: f"{name}.{node.module}"
            for node in nodes if isinstance(node, ast.ImportFrom) for alias in node.names
        }  # fmt: skip
    return found


def targets(node: ast.Import | ast.ImportFrom) -> set[str]:
    """The modules of Sojourn that an import loads, faces looked through."""
    if isinstance(node, ast.Import):
        return {alias.name for alias in node.names if alias.name in NAMES}
    module = node.module or ""
    found = set()
    for alias in node.names:
        if f"{module}.{alias.name}" in NAMES:
            found.add(f"{module}.{alias.name}")
        elif alias.name in faces().get(module, {}):
            found.add(faces()[module][alias.name])
        elif module in NAMES:
            found.add(module)
    return found


def test_the_top_fits_on_a_screen() -> None:
    assert len(entries(HOUSE)) <= MOST_ENTRIES, sorted(p.name for p in entries(HOUSE))


@pytest.mark.parametrize("package", [HOUSE, *PACKAGES], ids=lambda p: str(p.relative_to(ROOT)))
def test_a_folder_is_small(package: Path) -> None:
    files = [p for p in entries(package) if p.is_file() and p.suffix != ".pyi"]
    assert len(files) <= MOST_FILES


@pytest.mark.parametrize("path", MODULES, ids=NAMES)
def test_a_module_is_short(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MOST_LINES


@pytest.mark.parametrize("package", PACKAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_package_has_a_face(package: Path) -> None:
    text = (package / "__init__.py").read_text(encoding="utf-8")
    tree = tree_of(package / "__init__.py")
    assert ast.get_docstring(tree), "the face says what comes in and what goes out"
    rest = text[len(ast.get_source_segment(text, tree.body[0]) or "") :].strip() + "\n"
    assert FACE.fullmatch(rest) or rest == "__all__: list[str] = []\n", (
        "a face has a docstring and __all__, nothing else"
    )


def test_what_a_face_names_is_there() -> None:
    import importlib

    for package, names in faces().items():
        face = importlib.import_module(package)
        assert sorted(face.__all__) == sorted(names) if names else not face.__all__
        for name in names:
            assert not isinstance(getattr(face, name), type(sys)), f"{package}.{name} is a module"


def test_packages_are_entered_by_their_faces() -> None:
    """From outside a package only its face is imported: a name of it, or a job from its own file in `pipelines`."""
    past = []
    for name, path in NAMES.items():
        here = name if path.name == "__init__.py" else name.rpartition(".")[0]
        for node in ast.walk(tree_of(path)):
            if not isinstance(node, ast.ImportFrom) or not (node.module or "").startswith("sojourn."):
                continue
            module = str(node.module)
            if module in NAMES and NAMES[module].name != "__init__.py" and module != "sojourn.errors":
                package = module.rpartition(".")[0]
                is_inside = here == package or here.startswith(f"{package}.")
                is_job = package == "sojourn.pipelines" and node.names[0].name == module.rpartition(".")[2]
                if not is_inside and not is_job and path != HOUSE / "__init__.py":
                    past.append(f"{path.relative_to(ROOT)}:{node.lineno} {ast.unparse(node)}")
    assert not past, "\n".join(past)


def test_no_circles() -> None:
    """Also through faces, and also where an import is inside a function."""
    graph = {n: {t for i, _ in walk_imports(tree_of(p)) for t in targets(i)} - {n} for n, p in NAMES.items()}
    seen: dict[str, int] = {}
    stack: list[str] = []
    circles: list[list[str]] = []

    def visit(name: str) -> int:
        seen[name] = low = len(seen)
        stack.append(name)
        for other in sorted(graph[name]):
            if other not in seen:
                low = min(low, visit(other))
            elif other in stack:
                low = min(low, seen[other])
        if low == seen[name]:
            place = stack.index(name)
            if len(stack) - place > 1:
                circles.append(stack[place:])
            del stack[place:]
        return low

    sys.setrecursionlimit(5_000)
    for name in sorted(graph):
        if name not in seen:
            visit(name)
    assert not circles, circles


def test_hidden_imports_are_few_and_say_why() -> None:
    hidden, silent = [], []
    for path in MODULES:
        lines = path.read_text(encoding="utf-8").splitlines()
        for node, is_hidden in walk_imports(tree_of(path)):
            if is_hidden:
                where = f"{path.relative_to(ROOT)}:{node.lineno} {ast.unparse(node)}"
                hidden.append(where)
                about = lines[node.lineno - 2 : node.end_lineno]
                if not any("#" in line for line in about):
                    silent.append(where)
    assert len(hidden) <= MOST_HIDDEN, "\n".join(hidden)
    assert not silent, "say which library the import keeps unloaded:\n" + "\n".join(silent)


def test_each_library_has_its_packages() -> None:
    """The second contract: `[tool.sojourn.libraries]` in pyproject.toml says which package may import what."""
    used: dict[str, set[str]] = {}
    for name, path in NAMES.items():
        for node in ast.walk(tree_of(path)):
            modules = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level:
                modules = [str(node.module)]
            for library in {m.partition(".")[0] for m in modules} - set(sys.stdlib_module_names) - {"sojourn"}:
                used.setdefault(library, set()).add(name)
    strangers = used.keys() - LIBRARIES.keys()
    assert not strangers, f"no line in [tool.sojourn.libraries] of pyproject.toml: {sorted(strangers)}"
    assert not LIBRARIES.keys() - used.keys(), "a line for a library that nothing uses"
    wrong = [
        f"{name} imports {library}"
        for library, names in used.items() for name in sorted(names)
        if LIBRARIES[library] and not any(f"{name}.".startswith(f"sojourn.{place}.") for place in LIBRARIES[library])
    ]  # fmt: skip
    assert not wrong, "\n".join(wrong)


def test_few_places_are_kept_from_the_formatter() -> None:
    texts = [p.read_text(encoding="utf-8") for p in MODULES]
    assert sum(len(re.findall(r"# fmt: (?:skip|off)", text)) for text in texts) <= MOST_UNFORMATTED


def test_the_contract_fits_on_a_screen() -> None:
    layers = SETTINGS["tool"]["importlinter"]["contracts"][0]
    assert len(layers["layers"]) == 14
    assert layers["exhaustive"]
    assert "ignore_imports" not in layers
    done = subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
