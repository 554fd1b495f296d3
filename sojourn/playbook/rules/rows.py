"""Row rules: conditions and numbers over the columns of one raw row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal

from sojourn.errors import PlaybookError, Problem, nearest
from sojourn.playbook.rules.nodes import Apply, Column, Constant, Name, Node, Operation, RowRule, walk
from sojourn.playbook.rules.print import print_node, print_path
from sojourn.playbook.rules.syntax import parse_rule
from sojourn.playbook.text import load_model

RowUnit = Literal["number", "text", "boolean"]
Typed = tuple[Node, RowUnit]

ROW_FUNCTIONS = {
    "starts_with": "starts_with(column, 'text')",
    "ends_with": "ends_with(column, 'text')",
    "contains": "contains(column, 'text')",
    "lower": "lower(column)",
    "is_missing": "is_missing(column)",
    "abs": "abs(column)",
    "min": "min(column, column)",
    "max": "max(column, column)",
    "sentiment": "sentiment(column) or sentiment(column, 'model.json')",
}
"""Functions of row rules and how each is written."""

_COMPARISONS = frozenset({"<", "<=", ">", ">=", "==", "!="})


def compile_row_rule(text: str, unit: RowUnit, protected: tuple[str, ...] = ()) -> RowRule:
    """The row rule, whose value has the given unit. Raises PlaybookError with every problem found.

    >>> compile_row_rule("Quantity * UnitPrice", "number").paths
    (('Quantity',), ('UnitPrice',))
    """
    problems: list[Problem] = []
    tree = parse_rule(text)
    typed = _type(tree, unit, problems)
    rule = print_node(tree)
    if typed is not None and typed[1] != unit:
        problems.append(Problem("", f"'{rule}' is a {_noun(typed[1])}; a {_noun(unit)} is needed"))
    paths = tuple(dict.fromkeys(_find_paths(typed[0]))) if typed else ()
    if typed is not None and unit == "boolean" and not paths:
        problems.append(Problem("", f"'{rule}' reads no column, so it is the same for every row"))
    hidden = {word.lower() for word in protected}
    reads_hidden = [path for path in paths if hidden.intersection(part.lower() for part in path)]
    problems += [Problem("", explain_protected(print_path(path))) for path in reads_hidden]
    if problems or typed is None:
        raise PlaybookError(*dict.fromkeys(problems))
    return RowRule(typed[0], unit, paths, " ".join(text.split()))


def explain_protected(path: str) -> str:
    """What to say of a rule or path that reads a protected trait."""
    return f"'{path}' is a protected trait; it may be audited but never used"


def _noun(unit: RowUnit) -> str:
    return "condition" if unit == "boolean" else unit


def _type(node: Node, need: RowUnit | None, problems: list[Problem]) -> Typed | None:
    """The typed node, or None when a problem was noted. A bare column takes the unit that is needed, else text."""
    if isinstance(node, Name):
        unit = need or "text"
        return (Column(node.parts, unit), unit)
    if isinstance(node, Constant):
        if node.unit != "duration":
            return (node, node.unit)
        problems.append(Problem("", f"'{print_node(node)}' is a duration; columns of a raw row have none"))
        return None
    if isinstance(node, Apply):
        return _type_function(node, problems)
    if not isinstance(node, Operation):
        raise TypeError(f"typed already: {node!r}")
    if node.op in ("and", "or", "not"):
        return _expect(node.op, node.of, "boolean", "boolean", node, problems)
    if node.op in _COMPARISONS or node.op in ("in", "not in"):
        return _type_comparison(node, problems)
    return _expect(node.op, node.of, "number", "number", node, problems)


def _type_comparison(node: Operation, problems: list[Problem]) -> Typed | None:
    """All sides are read as the side whose unit is known; bare columns as texts, or as numbers when ordered."""
    is_ordered = node.op in ("<", "<=", ">", ">=")
    known = [unit for unit in map(_guess, node.of) if unit is not None]
    unit: RowUnit = known[0] if known else "number" if is_ordered else "text"
    if unit == "boolean" and node.op not in ("==", "!="):
        problems.append(Problem("", f"'{print_node(node)}': conditions are compared only by == and !="))
        return None
    return _expect(node.op, node.of, unit, "boolean", node, problems)


def _guess(node: Node) -> RowUnit | None:
    """The unit that a node has by itself; None for a bare column, and for a duration, which has no place here."""
    if isinstance(node, Constant):
        return None if node.unit == "duration" else node.unit
    if isinstance(node, Apply):
        return _UNITS_OF_FUNCTIONS.get(node.function, "boolean")
    if isinstance(node, Operation):
        return "number" if node.op in ("+", "-", "*", "/", "neg") else "boolean"
    return None


def _type_function(node: Apply, problems: list[Problem]) -> Typed | None:
    usage = ROW_FUNCTIONS.get(node.function)
    if usage is None:
        near = nearest(node.function, ROW_FUNCTIONS)
        problems.append(Problem("", f"raw rows have no function '{node.function}'", near))
        return None
    if node.function == "sentiment":
        return _type_sentiment(node, usage, problems)
    n_least = usage.count(",") + 1
    is_open = node.function in ("min", "max")
    n_given = len(node.arguments)
    if node.options or n_given < n_least or (n_given > n_least and not is_open):
        problems.append(Problem("", f"'{print_node(node)}': write {usage}"))
        return None
    if node.function == "is_missing":
        argument = _type(node.arguments[0], None, problems)
        return None if argument is None else (Operation("is_missing", (argument[0],)), "boolean")
    unit = _UNITS_OF_FUNCTIONS.get(node.function, "boolean")
    need: RowUnit = "number" if unit == "number" else "text"
    typed = _expect(node.function, node.arguments, need, unit, node, problems)
    return _fold_pairs(typed) if typed and is_open else typed


def _type_sentiment(node: Apply, usage: str, problems: list[Problem]) -> Typed | None:
    """``sentiment(column)`` by the lexicon, or with the file of a learned model as a text."""
    column, *model = node.arguments or (Constant(0.0, "number"),)
    is_file = all(isinstance(m, Constant) and m.unit == "text" and str(m.value).endswith(".json") for m in model)
    if node.options or isinstance(column, Constant) or len(model) > 1 or not is_file:
        problems.append(Problem("", f"'{print_node(node)}': write {usage}"))
        return None
    typed = _type(column, "text", problems)
    if typed is None or typed[1] != "text":
        noun = "" if typed is None else _noun(typed[1])
        problems += [Problem("", f"'{print_node(column)}' is a {noun}, not a text")] if noun else []
        return None
    return (Operation("sentiment", (typed[0], *model)), "number")


_UNITS_OF_FUNCTIONS: Mapping[str, RowUnit] = {
    "lower": "text",
    "abs": "number",
    "min": "number",
    "max": "number",
    "sentiment": "number",
}


def _fold_pairs(typed: Typed) -> Typed:
    """``min(a, b, c)`` as ``min(min(a, b), c)``."""
    whole = typed[0]
    if not isinstance(whole, Operation):
        return typed
    tree = whole.of[0]
    for part in whole.of[1:]:
        tree = Operation(whole.op, (tree, part))
    return (tree, "number")


def _expect(
    op: str, parts: tuple[Node, ...], need: RowUnit, unit: RowUnit, whole: Node, problems: list[Problem]
) -> Typed | None:
    """The operation over parts that all have the needed unit; problems are noted where they have not."""
    done: list[Node] = []
    for part in parts:
        typed = _type(part, need, problems)
        if typed is not None and typed[1] != need:
            found = f"'{print_node(part)}' is a {_noun(typed[1])}, not a {_noun(need)}"
            problems.append(Problem("", f"{found}, in '{print_node(whole)}'"))
        elif typed is not None:
            done.append(typed[0])
    return (Operation(op, tuple(done)), unit) if len(done) == len(parts) else None


def _find_paths(tree: Node) -> list[tuple[str, ...]]:
    return [node.parts for node in walk(tree) if isinstance(node, Column)]


def place_models(rule: RowRule, playbook: str) -> RowRule:
    """The rule with its learned sentiment models found: beside the playbook's file, or in the working directory.

    Raises SojournError for a file that is not there or is no such model.
    """
    found: dict[str, str] = {}
    tree = _place(rule.tree, Path(playbook).parent, found)
    return replace(rule, tree=tree, models=tuple(found.items())) if found else rule


def _place(node: Node, folder: Path, found: dict[str, str]) -> Node:
    if not isinstance(node, Operation):
        return node
    if node.op == "sentiment" and len(node.of) > 1 and isinstance(node.of[1], Constant):
        name = str(node.of[1].value)
        path = folder / name if (folder / name).is_file() else Path(name)
        load_model(path)
        found[name] = str(path.resolve())
        return Operation(node.op, (node.of[0], Constant(found[name], "text")))
    return Operation(node.op, tuple(_place(part, folder, found) for part in node.of))
