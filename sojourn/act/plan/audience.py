"""Whom a plan is for: a rule in the playbook's language, and who of a table of customers it holds for now."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sojourn.frames import F8
from sojourn.playbook import Playbook
from sojourn.playbook.rules import Call, Constant, Node, Operation, Reading, Rule, Typed, Vocabulary, compile_feature


def read_vocabulary(playbook: Playbook) -> Vocabulary:
    """The words that an audience's rule may use.

    >>> from sojourn.playbook.load import load_playbook
    >>> from sojourn.playbook.rules.compile import compile_audience
    >>> compile_audience("state == 'fading' and orders >= 1", read_vocabulary(load_playbook("shop"))).reads[0].kind
    'state'
    """
    words = Vocabulary(
        classes=playbook.class_names,
        measures=playbook.measure_names,
        properties=playbook.property_names,
        moments=tuple(moment.name for moment in playbook.moments),
        states=playbook.state_names,
        segments=tuple(segment.name for segment in playbook.segments),
        outcomes=tuple(outcome.name for outcome in playbook.outcomes),
        protected=playbook.protected,
    )
    typed: dict[str, Typed] = {}
    for feature in playbook.features:
        typed[feature.name] = compile_feature(feature.program.text, replace(words, features=dict(typed)))[1]
    return replace(words, features=typed, is_audience=True)


def find_members(rule: Rule, words: Vocabulary, customers: pa.Table, now_us: int) -> NDArray[np.bool_] | None:
    """Who of a ``customers`` table of results the rule holds for; None where the table does not have what it reads.

    It has states, their probabilities, the features of the playbook, and how long customers are known; with a column
    ``own_at`` (microseconds) also how long they have been silent.
    """
    trees = {tree: name for name, (tree, _) in words.features.items()}
    try:
        found = _Members(customers, trees, now_us).read(rule.tree)
    except KeyError:
        return None
    return np.asarray(np.broadcast_to(found, (customers.num_rows,)), bool)


class _Members:
    """Reads rules over columns; raises KeyError for what the table does not have."""

    def __init__(self, customers: pa.Table, trees: dict[Node, str], now_us: int) -> None:
        self.customers, self.trees, self.now_us = customers, trees, now_us

    def read(self, node: Node) -> Any:
        if node in self.trees:
            return self.column(f"f_{self.trees[node]}")
        if isinstance(node, Constant):
            return node.value
        if isinstance(node, Reading):
            return self.read_state(node)
        if isinstance(node, Call):
            return self.read_call(node)
        if isinstance(node, Operation):
            return _OPERATIONS[node.op](*(self.read(part) for part in node.of))
        raise KeyError(str(node))

    def column(self, name: str) -> F8:
        return np.asarray(self.customers[name].to_numpy(), np.float64)

    def read_state(self, node: Reading) -> Any:
        if node.kind == "state":
            return np.array(self.customers["state"].cast(pa.string()).to_pylist(), object)
        if node.kind == "state_p":
            return self.column(f"p_{node.name}" if node.name else "state_p")
        raise KeyError(node.kind)

    def read_call(self, call: Call) -> F8:
        plain = Call(call.primitive, call.of, tuple(o for o in call.options if o[0] != "at_most"), call.unit)
        if plain in self.trees:  # a comparison asks no more than whether there are so many
            return self.column(f"f_{self.trees[plain]}")
        if plain.primitive == "tenure":
            return self.read_age("first_at")
        if plain.primitive == "recency" and plain.of == ("any",):
            return self.read_age("own_at")
        raise KeyError(call.text)

    def read_age(self, name: str) -> F8:
        """Seconds since an instant; NaN where there is none."""
        at = self.customers[name].cast(pa.int64()).cast(pa.float64(), safe=False)
        return np.asarray((self.now_us - at.to_numpy()) / 1e6)


def _compare(name: str) -> Any:
    def compare(left: Any, right: Any) -> Any:
        with np.errstate(invalid="ignore"):
            found = np.asarray(getattr(np, name)(left, right), bool)
            missing = [side != side for side in (left, right) if not isinstance(side, str)]
        return found & ~np.asarray(np.logical_or.reduce(np.broadcast_arrays(*missing)), bool) if missing else found

    return compare


def _divide(a: Any, b: Any) -> Any:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(np.asarray(b, float) != 0, np.divide(a, b), np.nan)


def _is_in(value: Any, *items: Any) -> Any:
    return np.logical_or.reduce([_OPERATIONS["=="](value, item) for item in items])


_OPERATIONS: dict[str, Any] = {
    "<": _compare("less"),
    "<=": _compare("less_equal"),
    ">": _compare("greater"),
    ">=": _compare("greater_equal"),
    "==": _compare("equal"),
    "!=": _compare("not_equal"),
    "and": np.logical_and,
    "or": np.logical_or,
    "not": np.logical_not,
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": _divide,
    "neg": np.negative,
    "abs": np.abs,
    "min": np.fmin,
    "max": np.fmax,
    "is_missing": np.isnan,
    "in": _is_in,
    "not in": lambda value, *items: ~_is_in(value, *items),
}
