"""Segments and audiences compiled for many customers: what each rule reads, and when time alone can change it.

A rule needs another look only where something that it reads has changed: a cell of the vector that an event changes,
the state, a belief, a trait, or time. Windows and ages change at instants that are known beforehand, so time-driven
changes happen when they are due. A decaying count changes all the time; it is looked at again when it has lost 2 %.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sojourn.fold import NOTHING, SEGMENT, STATE, STATE_P, TRAIT, Layout, hash_text
from sojourn.frames import I8
from sojourn.playbook import Audience, Playbook, Segment
from sojourn.playbook.rules import Call, Constant, Node, Operation, Reading, compile_tree

_READING = "reading"
_OF_KIND = {"state": STATE, "state_p": STATE_P, "segment": SEGMENT, "trait": TRAIT, "prediction": NOTHING}
_MIRRORED = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}


@dataclass(frozen=True, eq=False)
class Audiences:
    """Rules as programs: first the segments, then the audiences, in the order of the playbook.

    An input is a call of the layout (``calls``) or, numbered after those, a reading (``readings``: kind, and which
    state, rule or trait). ``starts`` … as in :class:`sojourn.fold.layout.Programs`, LOAD names an input. The lists of
    programs are pairs of starts and numbers. ``ages`` are instants after an event, in microseconds.
    """

    names: tuple[str, ...]
    n_segments: int
    purposes: tuple[str | None, ...]
    starts: I8
    codes: I8
    operands: NDArray[np.float64]
    calls: I8
    readings: I8  # shape (readings, 2)
    traits: tuple[tuple[str, str], ...]  # (name, unit) that rules read
    inputs: tuple[I8, I8]  # of each program
    of_class: tuple[I8, I8]  # programs that an event of a class may change
    of_state: I8  # programs that a move may change
    of_belief: I8  # programs that a change of belief may change
    of_trait: I8
    of_time: I8
    ages: tuple[I8, I8]  # of each program

    @property
    def n_bytes(self) -> int:
        """Bytes of a customer's memberships: a bit per rule."""
        return (len(self.names) + 7) // 8


def compile_audiences(playbook: Playbook, layout: Layout) -> Audiences:
    """The rules of a playbook for its live layout.

    >>> from sojourn.fold.layout import build_layout
    >>> from sojourn.playbook.load import load_playbook
    >>> book = load_playbook("shop")
    >>> rules = compile_audiences(book, build_layout(book, is_live=True))
    >>> rules.names[rules.n_segments :]
    ('ready', 'stuck_in_checkout', 'new_owner', 'slipping')
    """
    rules: list[Segment | Audience] = [*playbook.segments, *playbook.audiences]
    segments = [segment.name for segment in playbook.segments]
    traits: dict[tuple[str, str], int] = {}
    trees = [_plain(rule.when.tree, playbook.state_names, segments, traits) for rule in rules]
    programs = [compile_tree(tree, "boolean", rule.when.text) for tree, rule in zip(trees, rules, strict=True)]
    used = list(dict.fromkeys(call for program in programs for call in program.calls))
    calls = [call for call in used if call.primitive != _READING]
    readings = [call for call in used if call.primitive == _READING]
    number = {call: i for i, call in enumerate([*calls, *readings])}
    inputs = [[number[call] for call in program.calls] for program in programs]
    operands = [
        float(number[program.calls[int(operand)]]) if code == 1 else operand
        for program in programs
        for code, operand in zip(program.codes, program.operands, strict=True)
    ]
    reads = [set(program.calls) for program in programs]
    for i, names in enumerate(reads):  # what a segment reads, the rules that read the segment read too
        for call in list(names):
            if call.primitive == _READING and call.options[0][1] == SEGMENT:
                reads[i] |= reads[int(call.options[1][1])]
    ages = [sorted(set(_list_ages(tree))) for tree in trees]
    return Audiences(
        names=tuple(rule.name for rule in rules),
        n_segments=len(segments),
        purposes=(*(None for _ in segments), *(audience.purpose for audience in playbook.audiences)),
        starts=np.cumsum([0, *(len(program.codes) for program in programs)], dtype=np.int64),
        codes=np.array([code for program in programs for code in program.codes], np.int64),
        operands=np.array(operands, np.float64),
        calls=np.array([layout.calls.index(call) for call in calls], np.int64),
        readings=np.array([[int(v) for _, v in call.options] for call in readings], np.int64).reshape(-1, 2),
        traits=tuple(traits),
        inputs=join_lists(inputs),
        of_class=join_lists(_programs_of_classes(layout, reads)),
        of_state=_programs_reading(reads, STATE, SEGMENT),
        of_belief=_programs_reading(reads, STATE_P),
        of_trait=_programs_reading(reads, TRAIT),
        of_time=np.array([i for i, names in enumerate(reads) if any(_ages_alone(call) for call in names)], np.int64),
        ages=join_lists(ages),
    )


def join_lists(lists: Sequence[Iterable[int]]) -> tuple[I8, I8]:
    """Lists put end to end: where each begins, and the numbers.

    >>> [part.tolist() for part in join_lists([[1, 2], [], [3]])]
    [[0, 2, 2, 3], [1, 2, 3]]
    """
    plain = [list(numbers) for numbers in lists]
    starts = np.cumsum([0, *map(len, plain)], dtype=np.int64)
    return starts, np.array([number for numbers in plain for number in numbers], np.int64)


def code_trait(value: object, unit: str) -> float:
    """A trait's value as rules compare it: a number, 0 or 1, or a hash of the text; NaN for none.

    >>> code_trait("gold", "text") == code_text("gold"), code_trait("7.5", "number"), code_trait(True, "boolean")
    (True, 7.5, 1.0)
    """
    if value is None or value == "":
        return float("nan")
    if unit == "number":
        try:
            return float(value)  # type: ignore[arg-type]  # whatever is no number is caught
        except (TypeError, ValueError):
            return float("nan")
    text = ("true" if value else "false") if isinstance(value, bool) else str(value)
    return float(text.lower() in ("true", "1")) if unit == "boolean" else code_text(text)


def code_text(text: str) -> float:
    """A number that stands for a text: its hash cut to what a float holds exactly."""
    return float(hash_text(text) & ((1 << 53) - 1))


# -- rules without texts and readings, as programs want them ------------------------------------------------


def _plain(node: Node, states: Sequence[str], segments: Sequence[str], traits: dict[tuple[str, str], int]) -> Node:
    """The tree with numbers for texts and calls for readings."""
    if isinstance(node, Reading):
        return _read(node, states, segments, traits)
    if not isinstance(node, Operation):
        return node
    of = tuple(_plain(part, states, segments, traits) for part in node.of)
    if any(isinstance(part, Constant) and part.unit == "text" for part in of):
        is_state = any(isinstance(part, Reading) and part.kind == "state" for part in node.of)
        of = tuple(_number_text(part, states if is_state else None) for part in of)
    if node.op not in ("in", "not in"):
        return Operation(node.op, of)
    op, join = ("==", "or") if node.op == "in" else ("!=", "and")
    tree: Node = Operation(op, (of[0], of[1]))
    for item in of[2:]:
        tree = Operation(join, (tree, Operation(op, (of[0], item))))
    return tree


def _number_text(node: Node, states: Sequence[str] | None) -> Node:
    if not (isinstance(node, Constant) and node.unit == "text"):
        return node
    text = str(node.value)
    return Constant(float(states.index(text)) if states is not None else code_text(text), "number")


def _read(node: Reading, states: Sequence[str], segments: Sequence[str], traits: dict[tuple[str, str], int]) -> Call:
    which = -1
    if node.kind == "state_p" and node.name:
        which = states.index(node.name)
    elif node.kind == "segment":
        which = segments.index(node.name)
    elif node.kind == "trait":
        which = traits.setdefault((node.name, node.unit), len(traits))
    return Call(_READING, (node.kind, node.name), (("kind", float(_OF_KIND[node.kind])), ("which", float(which))))


# -- what changes what ---------------------------------------------------------------------------------------


def _programs_of_classes(layout: Layout, reads: Sequence[set[Call]]) -> list[list[int]]:
    """Per event class, the programs that read a slot which its events write."""
    slots = {call: set(layout.reads[i]) for i, call in enumerate(layout.calls)}
    read = [set().union(*(slots[call] for call in calls if call.primitive != _READING)) for calls in reads]
    width = {slot: cell.width for cell, slot in layout.slots.items()}
    found = []
    for k in range(len(layout.class_names)):
        ops = layout.op_ints[layout.op_starts[k] : layout.op_starts[k + 1]]
        written = {slot for op in ops for slot in range(int(op[1]), int(op[1]) + width[int(op[1])])}
        found.append([i for i, slots_read in enumerate(read) if slots_read & written])
    return found


def _programs_reading(reads: Sequence[set[Call]], *kinds: int) -> I8:
    def is_one(call: Call) -> bool:
        return call.primitive == _READING and call.options[0][1] in kinds

    return np.array([i for i, calls in enumerate(reads) if any(map(is_one, calls))], np.int64)


_CONSTANT_IN_TIME = frozenset(
    {"last", "min", "max", "mean", "cadence", "share", "hour_share", "responsiveness", "distinct", _READING}
)


def _ages_alone(call: Call) -> bool:
    """Whether a call's value may change without any event."""
    if call.primitive in ("count", "sum", "matches"):
        return bool({"within", "half_life"} & set(dict(call.options)))
    return call.primitive not in _CONSTANT_IN_TIME and call != Call("session", ("count",))


def _list_ages(node: Node) -> list[int]:
    """Ages, in microseconds, at which a comparison with an age may turn; -1 where one is not so plain."""
    if not isinstance(node, Operation):
        return []
    if node.op in ("<", "<=", ">", ">=", "==", "!="):
        left, right = node.of
        for side, other, op in ((left, right, node.op), (right, left, _MIRRORED.get(node.op, node.op))):
            factor = _factor_of_age(side)
            if factor is not None and isinstance(other, Constant):
                age = round(float(other.value) * factor * 1e6)
                return [age, age + 1] if op in ("==", "!=") else [age if op in (">=", "<") else age + 1]
        return [-1] if _has_age(node) else []
    return [age for part in node.of for age in _list_ages(part)]


def _factor_of_age(node: Node) -> float | None:
    """How many seconds of age one unit of the node is; None when it is no age, or no plain one."""
    if isinstance(node, Call):
        return 1.0 if node.primitive in ("recency", "tenure") else None
    if isinstance(node, Operation) and node.op in ("/", "*"):
        left, right = node.of
        inner = _factor_of_age(left)
        if inner is not None and isinstance(right, Constant) and right.value:
            return inner * float(right.value) if node.op == "/" else inner / float(right.value)
    return None


def _has_age(node: Node) -> bool:
    if isinstance(node, Call):
        return node.primitive in ("recency", "tenure")
    return isinstance(node, Operation) and any(_has_age(part) for part in node.of)


def trait_values(audiences: Audiences, traits: Mapping[str, object]) -> list[float]:
    """What the rules read of a customer's traits, in the order of ``audiences.traits``."""
    return [code_trait(traits.get(name), unit) for name, unit in audiences.traits]
