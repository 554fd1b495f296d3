"""What is public in each package of ``sojourn``, read from its source. Nothing is imported or listed by hand.

A package says what is public in its stub ``__init__.pyi``, else in ``__all__`` of its ``__init__.py``. A package
without either has the public definitions of its modules.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

NO_PAGE = frozenset({"cli"})
"""Packages that nobody imports: the command line has a reference of its own."""


@dataclass(frozen=True)
class Name:
    """A public name: how one writes it, where it is defined, and the first line of its docstring.

    ``is_constant``: an assignment, which has a value and rarely a docstring.
    """

    name: str
    home: str
    summary: str
    is_constant: bool = False


@dataclass(frozen=True)
class Face:
    """The public names of one package or module; ``is_declared`` where a stub or ``__all__`` lists them."""

    package: str
    summary: str
    names: tuple[Name, ...]
    is_declared: bool


class Source:
    """The modules below a folder, parsed once each."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._trees: dict[Path, ast.Module] = {}

    def parse(self, file: Path) -> ast.Module:
        if file not in self._trees:
            self._trees[file] = ast.parse(file.read_text(encoding="utf-8"))
        return self._trees[file]

    def find_file(self, module: str) -> Path | None:
        """The file that says what a module or package holds: the stub of a package where there is one."""
        folder = self.root.joinpath(*module.split("."))
        for file in (folder / "__init__.pyi", folder / "__init__.py", folder.with_suffix(".py")):
            if file.is_file():
                return file
        return None

    def find_home(self, module: str, name: str, depth: int = 10) -> tuple[str, ast.stmt | None] | None:
        """Where ``name`` of ``module`` is defined, and its definition; None if it is not found or is a module."""
        file = self.find_file(module)
        if file is None or depth == 0:
            return None
        for node in iterate_statements(self.parse(file).body):
            if name in list_defined(node):
                return f"{module}.{name}", node
            if isinstance(node, ast.ImportFrom):
                for alias in node.names:
                    if (alias.asname or alias.name) == name and (origin := resolve_import(module, file, node)):
                        return self.find_home(origin, alias.name, depth - 1)
        return None

    def read_summary(self, module: str) -> str:
        """The first paragraph of a module's docstring; that of a package may be in its ``__init__.py`` alone."""
        folder = self.root.joinpath(*module.split("."))
        for file in (folder / "__init__.py", folder.with_suffix(".py"), folder / "__init__.pyi"):
            if file.is_file() and (text := ast.get_docstring(self.parse(file))) and len(text) > 1:
                return " ".join(text.partition("\n\n")[0].split())
        return ""


def iterate_statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Statements of a module, those under ``if TYPE_CHECKING:`` too."""
    for node in body:
        if isinstance(node, ast.If):
            yield from iterate_statements(node.body)
        else:
            yield node


def list_defined(node: ast.stmt) -> list[str]:
    """The names that a statement defines."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [node.name]
    if isinstance(node, ast.Assign):
        names = [target.id for target in node.targets if isinstance(target, ast.Name)]
        return names if len(names) == len(node.targets) else []  # Griffe does not see names that are unpacked
    return [node.target.id] if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) else []


def resolve_import(module: str, file: Path, node: ast.ImportFrom) -> str:
    """The module that ``from … import`` names, as a whole dotted name."""
    if node.level == 0:
        return node.module or ""
    parts = module.split(".")
    kept = parts[: len(parts) - node.level + (1 if file.stem == "__init__" else 0)]
    return ".".join([*kept, *([node.module] if node.module else [])])


def read_all(tree: ast.Module) -> list[str]:
    """``__all__`` where it is a list or tuple of strings; empty otherwise."""
    for node in tree.body:
        if "__all__" in list_defined(node):
            value = getattr(node, "value", None)
            if isinstance(value, ast.List | ast.Tuple):
                return [one.value for one in value.elts if isinstance(one, ast.Constant) and isinstance(one.value, str)]
    return []


def read_declared(source: Source, package: str) -> Face | None:
    """The face of a package that declares one, or None."""
    file = source.find_file(package)
    names = read_all(source.parse(file)) if file is not None else []
    homes = [(name, source.find_home(package, name)) for name in sorted(names)]
    found = [
        Name(name, home[0], summarise(home[1]), isinstance(home[1], ast.Assign | ast.AnnAssign))
        for name, home in homes
        if home
    ]
    return Face(package, source.read_summary(package), tuple(found), True) if found else None


def read_module(source: Source, module: str) -> Face:
    """The public functions and classes that a module defines and documents, in their order."""
    file = source.find_file(module)
    nodes = source.parse(file).body if file is not None else []
    names = tuple(
        Name(node.name, f"{module}.{node.name}", summarise(node))
        for node in nodes
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        and not node.name.startswith("_")
        and ast.get_docstring(node)
    )
    return Face(module, source.read_summary(module), names, False)


def summarise(node: ast.stmt | None) -> str:
    """The first line of a definition's docstring; empty where there is none."""
    is_documented = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    text = ast.get_docstring(node) if is_documented else None  # type: ignore[arg-type]
    return (text or "").partition("\n")[0]


def read_package(source: Source, package: str) -> list[Face]:
    """The faces of a package and of the packages inside it; modules where a package declares none."""
    folder = source.root.joinpath(*package.split("."))
    declared = read_declared(source, package)
    faces = [declared] if declared else []
    for entry in sorted(folder.iterdir()):
        if entry.is_dir() and (entry / "__init__.py").is_file():
            faces += [f for f in read_package(source, f"{package}.{entry.name}") if f.is_declared or not declared]
        elif entry.suffix == ".py" and not entry.stem.startswith("_") and not declared:
            faces.append(read_module(source, f"{package}.{entry.stem}"))
    return [face for face in faces if face.names]


def read_pages(root: Path) -> dict[str, list[Face]]:
    """The faces on each page of the Python reference, ``sojourn`` first, then its packages and modules by name."""
    source = Source(root)
    top = read_declared(source, "sojourn")
    pages = {"sojourn": [top] if top else []}
    for entry in sorted((root / "sojourn").iterdir()):
        name = f"sojourn.{entry.stem}"
        if entry.stem.startswith("_") or entry.stem in NO_PAGE:
            continue
        if entry.is_dir() and (entry / "__init__.py").is_file():
            pages[name] = read_package(source, name)
        elif entry.suffix == ".py":
            pages[name] = [face for face in [read_module(source, name)] if face.names]
    return {name: faces for name, faces in pages.items() if faces}
