"""Row rules: conditions and numbers over the columns of one raw row."""

from __future__ import annotations

from typing import Literal

from sojourn.errors import PlaybookError, Problem, nearest
from sojourn.rule_print import print_node
from sojourn.rule_syntax import parse_rule
from sojourn.rules import Apply, Column, Constant, Name, Node, Operation, RowRule

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
}
"""Functions of row rules and how each is written."""

_COMPARISONS = frozenset({"<", "<=", ">", ">=", "==", "!="})


def compile_row_rule(text: str, unit: RowUnit, protected: tuple[str, ...] = ()) -> RowRule:
    """The row rule, whose value has the given unit. Raises PlaybookError with every problem found.

    >>> compile_row_rule("Quantity * UnitPrice", "number").paths
    (('Quantity',), ('UnitPrice',))
    """
    problems: list[Problem] = []
    typed = _type(parse_rule(text), unit, problems)
    if typed is not None and typed[1] != unit:
        problems.append(Problem("", f"'{' '.join(text.split())}' is a {typed[1]}; a {_noun(unit)} is needed"))
    paths = tuple(dict.fromkeys(_find_paths(typed[0]))) if typed else ()
    hidden = {word.lower() for word in protected}
    for path in paths:
        problems += [
            Problem(
                "",
                f"'{print_node(Name(path))}' reads the protected trait '{part}'; it may be audited but never used",
            )
            for part in path
            if part.lower() in hidden
        ]
    if problems or typed is None:
        raise PlaybookError(*dict.fromkeys(problems))
    return RowRule(typed[0], unit, paths, " ".join(text.split()))


def _noun(unit: RowUnit) -> str:
    return "condition" if unit == "boolean" else unit


def _type(node: Node, need: RowUnit | None, problems: list[Problem]) -> Typed | None:
    """The typed node. A bare column takes the unit that is needed, text when nothing is; None when a problem was found."""
    if isinstance(node, Name):
        unit = need or "text"
        return (Column(node.parts, unit), unit)
    if isinstance(node, Constant):
        if node.unit == "duration":
            problems.append(
                Problem("", f"'{print_node(node)}' is a duration; columns of a raw row have none")
            )
            return None
        return (node, node.unit)
    if isinstance(node, Apply):
        return _type_function(node, problems)
    assert isinstance(node, Operation)
    if node.op in ("and", "or", "not"):
        return _expect(node.op, node.of, ("boolean",) * len(node.of), "boolean", node, problems)
    if node.op in _COMPARISONS or node.op in ("in", "not in"):
        return _type_comparison(node, problems)
    return _expect(node.op, node.of, ("number",) * len(node.of), "number", node, problems)


def _type_comparison(node: Operation, problems: list[Problem]) -> Typed | None:
    """Both sides are read as the side whose unit is known; two bare columns as texts, or as numbers when ordered."""
    fallback: RowUnit = "number" if node.op in ("<", "<=", ">", ">=") else "text"
    known = [unit for unit in map(_guess, node.of) if unit is not None]
    unit = known[0] if known else fallback
    if unit == "boolean" and node.op not in ("==", "!="):
        problems.append(Problem("", f"'{print_node(node)}' orders conditions; only == and != compare them"))
        return None
    return _expect(node.op, node.of, (unit,) * len(node.of), "boolean", node, problems)


def _guess(node: Node) -> RowUnit | None:
    """The unit that a node has by itself; None for a bare column."""
    if isinstance(node, Constant):
        return None if node.unit == "duration" else node.unit
    if isinstance(node, Apply):
        return {"lower": "text", "abs": "number", "min": "number", "max": "number"}.get(
            node.function, "boolean"
        )  # type: ignore[return-value]  # units
    if isinstance(node, Operation):
        return "number" if node.op in ("+", "-", "*", "/", "neg") else "boolean"
    return None


def _type_function(node: Apply, problems: list[Problem]) -> Typed | None:
    usage = ROW_FUNCTIONS.get(node.function)
    if usage is None:
        near = nearest(node.function, ROW_FUNCTIONS)
        problems.append(Problem("", f"there is no function '{node.function}' for raw rows", near))
        return None
    least = 2 if node.function in ("starts_with", "ends_with", "contains", "min", "max") else 1
    is_number = node.function in ("abs", "min", "max")
    is_open = node.function in ("min", "max")
    if node.options or len(node.arguments) < least or (len(node.arguments) > least and not is_open):
        problems.append(Problem("", f"'{print_node(node)}': write {usage}"))
        return None
    if node.function == "is_missing":
        argument = _type(node.arguments[0], None, problems)
        return None if argument is None else (Operation("is_missing", (argument[0],)), "boolean")
    needs: tuple[RowUnit, ...] = ("number" if is_number else "text",) * len(node.arguments)
    unit: RowUnit = "number" if is_number else "text" if node.function == "lower" else "boolean"
    typed = _expect(node.function, node.arguments, needs, unit, node, problems)
    return _fold_pairs(typed) if typed and is_open else typed


def _fold_pairs(typed: Typed) -> Typed:
    """``min(a, b, c)`` as ``min(min(a, b), c)``."""
    operation = typed[0]
    assert isinstance(operation, Operation)
    tree = operation.of[0]
    for part in operation.of[1:]:
        tree = Operation(operation.op, (tree, part))
    return (tree, "number")


def _expect(
    op: str,
    parts: tuple[Node, ...],
    needs: tuple[RowUnit, ...],
    unit: RowUnit,
    whole: Node,
    problems: list[Problem],
) -> Typed | None:
    done: list[Node] = []
    for part, need in zip(parts, needs, strict=True):
        typed = _type(part, need, problems)
        if typed is not None and typed[1] != need:
            problems.append(
                Problem(
                    "",
                    f"'{print_node(part)}' is a {_noun(typed[1])}, not a {_noun(need)}, in '{print_node(whole)}'",
                )
            )
        elif typed is not None:
            done.append(typed[0])
    return (Operation(op, tuple(done)), unit) if len(done) == len(parts) else None


def _find_paths(tree: Node) -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = []
    todo = [tree]
    while todo:
        node = todo.pop()
        if isinstance(node, Column):
            found.append(node.parts)
        elif isinstance(node, Operation):
            todo.extend(reversed(node.of))
    return found
