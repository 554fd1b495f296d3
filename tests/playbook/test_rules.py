"""The rules language: text to tree and back, units, programs against their direct meaning, row rules."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Mapping

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sojourn.errors import PlaybookError
from sojourn.playbook.rules.calls import SIGNATURES
from sojourn.playbook.rules.compile import compile_audience, compile_condition, compile_feature
from sojourn.playbook.rules.meaning import read_row, run_program
from sojourn.playbook.rules.nodes import (
    MAX_DEPTH,
    MAX_LENGTH,
    MAX_TEXT,
    OPERATORS,
    UNIT_SECONDS,
    Apply,
    Call,
    Constant,
    Name,
    Node,
    Operation,
    Program,
    Reading,
    format_duration,
)
from sojourn.playbook.rules.print import print_node
from sojourn.playbook.rules.ranges import explain_constant, find_range, range_of_call
from sojourn.playbook.rules.rows import ROW_FUNCTIONS, compile_row_rule
from sojourn.playbook.rules.syntax import parse_rule
from sojourn.playbook.rules.types import FUNCTIONS, Vocabulary
from tests import ROOT

WORDS = Vocabulary(
    classes=("view", "purchase", "email_sent", "other"),
    measures=("revenue", "sentiment"),
    properties=("product",),
    moments=("doubt",),
    states=("calm", "keen"),
    outcomes=("churn",),
    segments=("vip",),
    protected=("gender", "Age_Band"),
)
AUDIENCE = Vocabulary(**{**WORDS.__dict__, "is_audience": True})
PAGE = ROOT / "docs" / "reference" / "rules.md"

quick = settings(max_examples=150, deadline=2_000, print_blob=True)


def problems_of(text: str, words: Vocabulary = WORDS) -> str:
    with pytest.raises(PlaybookError) as caught:
        compile_condition(text, words)
    return str(caught.value)


# Random trees, as a person could write them, each with its unit.

COUNTS = [
    Apply("count", (Name(("view",)),)),
    Apply("count", (Name(("view",)),), (("within", Constant(3600.0, "duration")),)),
    Apply("count", (Name(("any",)),), (("half_life", Constant(86400.0, "duration")),)),
    Apply("sum", (Name(("revenue",)),)),
    Apply("share", (Name(("channel",)), Name(("email",)))),
]
DURATIONS = [
    Apply("recency", (Name(("purchase",)),)),
    Apply("tenure", ()),
    Apply("cadence", (Name(("view",)),)),
]
finite = st.floats(0.0, 1e6, allow_nan=False)
numbers = st.one_of(finite, st.integers(0, 20).map(float)).map(lambda x: Constant(x, "number"))
durations = st.floats(0.001, 1e8).map(lambda x: Constant(x, "duration"))


def operations(ops: list[str], *parts: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
    return st.builds(lambda op, of: Operation(op, of), st.sampled_from(ops), st.tuples(*parts))


def functions(names: list[str], *parts: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
    return st.builds(lambda name, of: Apply(name, of), st.sampled_from(names), st.tuples(*parts))


def grow(depth: int) -> tuple[st.SearchStrategy[Node], st.SearchStrategy[Node], st.SearchStrategy[Node]]:
    """Strategies of numbers, durations and conditions, at most ``depth`` operators deep."""
    number: st.SearchStrategy[Node] = st.one_of(st.sampled_from(COUNTS), numbers)
    duration: st.SearchStrategy[Node] = st.one_of(st.sampled_from(DURATIONS), durations)
    condition: st.SearchStrategy[Node] = operations(["<", "<=", ">", ">=", "==", "!="], number, number)
    for _ in range(depth):
        bigger = st.one_of(
            number,
            operations(["+", "-", "*", "/"], number, number),
            operations(["/"], duration, duration),
            operations(["neg"], number),
            functions(["min", "max"], number, number),
            functions(["abs"], number),
        )
        longer = st.one_of(
            duration,
            operations(["+", "-"], duration, duration),
            operations(["*"], number, duration),
            operations(["*", "/"], duration, number),
            functions(["min", "max"], duration, duration),
        )
        condition = st.one_of(
            condition,
            operations(["and", "or"], condition, condition),
            operations(["not"], condition),
            operations(["<", "<=", ">", ">=", "==", "!="], number, number),
            operations(["<", ">="], duration, duration),
            operations(["in", "not in"], number, numbers, numbers),
            functions(["is_missing"], number),
        )
        number, duration = bigger, longer
    return number, duration, condition


NUMBER, DURATION, CONDITION = grow(3)
maybe_missing = st.one_of(st.just(math.nan), st.floats(-100.0, 100.0), st.integers(0, 20).map(float))


@st.composite
def values_by_text(draw: st.DrawFn) -> Mapping[str, float]:
    """A value for every call that the random trees make; counts are whole and never missing."""
    whole = st.integers(0, 30).map(float)
    kinds = {node: (whole if node in COUNTS[:2] else maybe_missing) for node in [*COUNTS, *DURATIONS]}
    return {print_node(node): draw(kind) for node, kind in kinds.items()}


def value_of(call: Call, values: Mapping[str, float]) -> float:
    options = dict(call.options)
    most = options.pop("at_most", math.inf)
    plain = Call(call.primitive, call.of, tuple(options.items()), call.unit)
    return min(values[plain.text], most) if most < math.inf else values[plain.text]


def evaluate(node: Node, values: Mapping[str, float]) -> float:
    """What a tree means, said a second time and directly."""
    if isinstance(node, Constant):
        return float(node.value)
    if isinstance(node, Apply) and node.function not in (*FUNCTIONS,):
        return values[print_node(node)]
    op, parts = (node.function, node.arguments) if isinstance(node, Apply) else (node.op, node.of)  # type: ignore[union-attr]
    a, *rest = [evaluate(part, values) for part in parts]
    if op in ("in", "not in"):
        return float(not math.isnan(a) and ((a in rest) == (op == "in")))
    if op in ("and", "or", "not"):
        return float({"and": all, "or": any}[op]([a, *rest])) if op != "not" else 1.0 - a
    if op == "is_missing":
        return float(math.isnan(a))
    is_missing = math.isnan(a) or any(math.isnan(b) for b in rest)
    if op in ("<", "<=", ">", ">=", "==", "!="):
        tests = {"<": a < rest[0], "<=": a <= rest[0], ">": a > rest[0], ">=": a >= rest[0], "==": a == rest[0]}
        return float(not is_missing and (a != rest[0] if op == "!=" else tests[op]))
    if is_missing or (op == "/" and rest[0] == 0.0):
        return math.nan
    if op in ("neg", "abs"):
        return -a if op == "neg" else abs(a)
    b = rest[0]
    if op in ("min", "max"):
        return min(a, b) if op == "min" else max(a, b)
    return a + b if op == "+" else a - b if op == "-" else a * b if op == "*" else a / b


def is_same(a: float, b: float) -> bool:
    return a == b or (math.isnan(a) and math.isnan(b))


@quick
@given(st.one_of(NUMBER, DURATION, CONDITION))
def test_a_printed_tree_parses_to_the_same_tree(tree: Node) -> None:
    assert parse_rule(print_node(tree)) == tree


def compile_or_skip(tree: Node, *, is_condition: bool) -> Program | None:
    """The program of a tree's text; None where the tree reads nothing or is beyond the documented bounds."""
    text = print_node(tree)
    try:
        return compile_condition(text, WORDS) if is_condition else compile_feature(text, WORDS)[0]
    except PlaybookError as error:
        if not any(bound in str(error) for bound in ("always the same", "too large", "characters")):
            raise
        return None


@quick
@given(CONDITION, values_by_text())
def test_a_condition_means_what_its_tree_means(tree: Node, values: Mapping[str, float]) -> None:
    program = compile_or_skip(tree, is_condition=True)
    if program is not None:
        assert program.unit == "boolean"
        got = run_program(program, [value_of(call, values) for call in program.calls])
        assert is_same(got, evaluate(tree, values))


@quick
@given(st.one_of(NUMBER, DURATION), values_by_text())
def test_a_feature_means_what_its_tree_means(tree: Node, values: Mapping[str, float]) -> None:
    program = compile_or_skip(tree, is_condition=False)
    if program is not None:
        got = run_program(program, [value_of(call, values) for call in program.calls])
        assert is_same(got, evaluate(tree, values))


@quick
@given(CONDITION, st.data())
def test_a_rule_called_constant_is_constant(tree: Node, data: st.DataObject) -> None:
    program = compile_or_skip(tree, is_condition=True)
    if program is None:
        return
    values = []
    for call in program.calls:
        low, high, may_miss = range_of_call(call)
        drawn = st.floats(max(low, -1e9), min(high, 1e9))
        values.append(data.draw(st.one_of(drawn, st.just(math.nan)) if may_miss else drawn))
    value = run_program(program, values)
    low, high, _ = find_range(program)
    assert low <= value <= high
    if explain_constant(program):
        assert low == high


MARKS = "()[]=<>+-*/,.'\"`%&|! "
PIECES = ["and", "or", "not", "in", "count", "view", "within", "1h", "3", "state", "trait", "min", "recency", "gender"]
PIECES += ["is_missing", "==", ">=", "revenue", "hour_share", "true", "'a'"]


@settings(max_examples=300, deadline=2_000, print_blob=True)
@example("(" * 1_000 + "view")
@example("not " * 400 + "x")
@example("a.b." * 300 + "c > 1")
@example("- " * 900 + "1")
@example("'" + "\\" * 900)
@example("count(view) in []")
@example("9" * 400 + " > count(view)")
@given(
    st.one_of(
        st.text(max_size=200),
        st.lists(
            st.sampled_from([*MARKS, *PIECES]),
            max_size=40,
        ).map(" ".join),
    )
)
def test_garbage_is_refused_in_words(text: str) -> None:
    for compile_rule in (
        lambda: compile_condition(text, WORDS),
        lambda: compile_audience(text, AUDIENCE),
        lambda: compile_feature(text, WORDS),
        lambda: compile_row_rule(text, "boolean", ("gender",)),
        lambda: compile_row_rule(text, "number"),
    ):
        with contextlib.suppress(PlaybookError):  # nothing else may come out
            compile_rule()


def test_hostile_rules_are_refused_at_once() -> None:
    started = time.process_time()
    for text in ("(" * MAX_TEXT, "[" * MAX_TEXT, "not " * 500, "1+" * 999 + "1", "count(" * 300, "`" * MAX_TEXT):
        with pytest.raises(PlaybookError):
            compile_condition(text[:MAX_TEXT], WORDS)
    assert time.process_time() - started < 5.0


def test_bounds() -> None:
    assert "2,001 characters" in problems_of("x" * (MAX_TEXT + 1))
    chain = " + ".join(["count(view)"] * 100)
    assert compile_feature(chain, WORDS)[0].codes.count(OPERATORS["+"]) == 99
    assert "too large" in problems_of(" + ".join(["abs(-count(view))"] * 70) + " > 1")
    right = "1 + (" * MAX_DEPTH + "count(view)" + ")" * MAX_DEPTH
    assert "too large" in problems_of(right + " > 1")
    assert "levels deep" in problems_of("-" * 200 + "count(view) > 1")


def test_features_that_double_do_not_explode() -> None:
    words, text = WORDS, "count(view)"
    started = time.process_time()
    for i in range(8):
        _, typed = compile_feature(text, words)
        words = Vocabulary(**{**words.__dict__, "features": {**words.features, f"f{i}": typed}})
        text = f"f{i} + f{i}"
    with pytest.raises(PlaybookError, match="too large"):
        compile_feature(text, words)
    assert time.process_time() - started < 5.0
    assert MAX_LENGTH == 256


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("count(veiw) > 1", "there is no event class 'veiw' in 'count(veiw)'. Did you mean 'view'?"),
        ("cuont(view) > 1", "there is no function 'cuont'. Did you mean 'count'?"),
        ("sum(revenu) > 1", "there is no measure 'revenu' in 'sum(revenu)'. Did you mean 'revenue'?"),
        ("distinct(produkt) > 1", "Did you mean 'product'?"),
        ("matches(doubts)", "there is no moment 'doubts' in 'matches(doubts)'. Did you mean 'doubt'?"),
        ("recency(view) > 7", "compares a duration with a number; a duration needs a unit, e.g. 7d"),
        ("count(view) > 7d", "compares a number with a duration"),
        ("count(view) / tenure() > 1", "divides a number by a duration"),
        ("tenure() * tenure() > 1d", "multiplies a duration by a duration"),
        ("tenure() + 3 > 1d", "joins a duration and a number"),
        ("count(view)", "'count(view)' is a number, not a condition"),
        ("tenure()", "compare it, e.g. tenure() > 1d"),
        ("view > 3", "'view' is an event class, not a number; write count(view) or recency(view)"),
        ("revenue > 3", "'revenue' is a measure of events; write sum(revenue)"),
        ("recency > 3d", "'recency' is a function; write recency(class)"),
        ("gender == 'f'", "'gender' is a protected trait"),
        ("age_band == 'x'", "'age_band' is a protected trait"),
        ("trait(gender) == 'f'", "reads a protected trait"),
        ("trait('AGE_BAND') == 'x'", "reads a protected trait"),
        ("trait(plan) == 'pro'", "can be read only in segments, audiences and activations"),
        ("state == 'calm'", "can be read only in segments, audiences and activations"),
        ("count(view, within=1h, within=2h) > 1", "gives within twice"),
        ("count(view, half_life=1h, within=2h) > 1", "either half_life or within"),
        ("count(view, at_most=3) > 1", "at_most needs within"),
        ("count(view, within=1h, at_most=65) > 1", "whole number from 1 to 64"),
        ("count(view, within=3) > 1", "within in 'count(view, within=3)' must be a duration, e.g. within=7d"),
        ("count(view, withn=3d) > 1", "count has no option 'withn'"),
        ("count(view, within=9999d) > 1", "at most ten years"),
        ("count(view, within=0d) > 1", "longer than nothing"),
        ("count() > 1", "has 0 arguments; write count(class)"),
        ("count(view, purchase) > 1", "has 2 arguments"),
        ("momentum(view, short=30d, long=7d) > 1", "short must be shorter than long"),
        ("session(dept) > 1", "'dept' is not one of depth, duration_s, velocity, count"),
        ("share(chanel, email) > 1", "'chanel' is not one of channel"),
        ("hour_share(3, 3) > 0.1", "two different whole numbers"),
        ("hour_share(20, 25) > 0.1", "the second from 0 to 24"),
        ("hour_share(1d, 5) > 0.1", "'1d' is not an hour"),
        ("1 < count(view) < 3", "comparisons do not chain, join two of them with 'and'"),
        ("count(view) = 3", "equality is =="),
        ("count(view) > 3 AND tenure() > 1d", "joined by 'and', 'or', 'not'"),
        ("tenure() > 7 days", "durations are written 30s, 15m, 12h, 7d or 2w"),
        ("tenure() > 7days", "durations are written 30s, 15m, 12h, 7d or 2w"),
        ("share(channel, email) > 50%", "write a share as a number, e.g. 0.5"),
        ("count(view) > 'x", "this quotation mark has no partner"),
        ("count(view", "ends too early"),
        ("1 > 0", "reads nothing of the customer"),
        ("   ", "the rule is empty"),
        ("count(view) > 9e999", "the number 9e999 is too large"),
        ("is_missing(count(view) > 1)", "a condition is never missing"),
        ("(count(view) > 1) + 1 > 1", "is a boolean, not a number"),
    ],
)
def test_mistakes_are_explained(text: str, said: str) -> None:
    assert said in problems_of(text)


def test_all_problems_of_a_rule_are_reported_at_once() -> None:
    with pytest.raises(PlaybookError) as caught:
        compile_condition("count(veiw) > 1 and sum(revenu) > 2 or foo > 3 and recency(view) > 4", WORDS)
    assert len(caught.value.problems) == 4


@pytest.mark.parametrize(
    ("comparison", "most"),
    [
        (">= 3", 3), ("> 3", 4), ("< 3", 3), ("<= 3", 4), ("== 3", 4), ("!= 3", 4), (">= 2.5", 3), ("> 2.5", 3),
        (">= 0", 1), (">= 16", 16), ("> 16", 17), (">= 17", None), (">= -1 + 4", None),
    ],
)  # fmt: skip
def test_small_thresholds_count_exactly(comparison: str, most: int | None) -> None:
    program = compile_condition(f"count(view, within=1h) {comparison}", WORDS)
    assert program.calls[0].option("at_most") == most
    mirrored = compile_condition("3 <= count(view, within=1h)", WORDS)
    assert mirrored.calls[0].option("at_most") == 3


def test_at_most_is_inferred_through_features_and_kept_when_written() -> None:
    _, typed = compile_feature("count(view, within=1h)", WORDS)
    words = Vocabulary(**{**WORDS.__dict__, "features": {"views": typed}})
    assert compile_condition("views >= 2", words).calls[0].option("at_most") == 2
    assert compile_condition("count(view, within=1h, at_most=9) >= 2", WORDS).calls[0].option("at_most") == 9
    assert compile_condition("count(view) >= 2", WORDS).calls[0].option("at_most") is None


def test_equal_calls_are_one_call() -> None:
    program = compile_condition("recency(view) > 1d and (recency(view) < 3d or tenure() < 1d)", WORDS)
    assert [call.text for call in program.calls] == ["recency(view)", "tenure()"]


def test_defaults_are_filled_in() -> None:
    text = "momentum(view) + sentiment() + responsiveness(email_sent, view) + cadence(view, typical) / 1d"
    calls = compile_feature(text, WORDS)[0].calls
    assert [call.text for call in calls] == [
        "momentum(view, long=30d, short=7d)",
        "mean(sentiment, half_life=30d)",
        "responsiveness(email_sent, view, within=7d)",
        "cadence(view)",
    ]


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        ("tenure()", "duration"), ("tenure() / 1d", "number"), ("tenure() / 2", "duration"),
        ("2 * tenure()", "duration"),
        ("-tenure()", "duration"), ("max(tenure(), 1d)", "duration"), ("cadence(view, regularity)", "number"),
        ("session(duration_s)", "duration"), ("session(depth)", "number"), ("tenure() > 1d", "boolean"),
        ("abs(recency(view) - 1d)", "duration"), ("min(revenue)", "number"), ("hour_share(22, 6)", "number"),
    ],
)  # fmt: skip
def test_units(text: str, unit: str) -> None:
    assert compile_feature(text, WORDS)[0].unit == unit


def test_a_moment_is_a_condition_by_itself() -> None:
    program = compile_condition("matches(doubt, within=2d) and not matches(doubt)", WORDS)
    assert run_program(program, [1.0, 0.0]) == 1.0
    assert run_program(program, [1.0, 2.0]) == 0.0


def test_audiences_read_states_traits_and_predictions() -> None:
    text = "state == 'calm' and state_p > 0.7 and state_p(keen) < 0.2 and trait(plan) == 'pro' and trait(seats) > 3"
    rule = compile_audience(text + " and segment(vip) and prediction(churn) > 0.5 and trait(is_admin)", AUDIENCE)
    assert rule.program is None
    assert Reading("trait", "seats", "number") in rule.reads
    assert Reading("trait", "is_admin", "boolean") in rule.reads
    assert Reading("state_p", "keen", "number") in rule.reads
    assert compile_audience("state in ['calm', 'keen']", AUDIENCE).reads == (Reading("state", "", "text"),)
    assert compile_audience("sum(revenue) > 500", AUDIENCE).program is not None
    for wrong, said in [
        ("state == 'clam'", "there is no state 'clam'. Did you mean 'calm'?"),
        ("state_p(clam) > 0.5", "Did you mean 'calm'?"),
        ("prediction(chrn) > 0.5", "there is no outcome 'chrn'"),
        ("segment(vpi)", "there is no segment 'vpi'"),
        ("state > 'calm'", "only == and != compare them"),
        ("calm", "write state == 'calm'"),
        ("state", "is a text, not a condition"),
    ]:
        with pytest.raises(PlaybookError) as caught:
            compile_audience(wrong, AUDIENCE)
        assert said in str(caught.value)


@pytest.mark.parametrize(
    ("text", "is_found"),
    [
        ("recency(any) > 1d", True), ("recency(any) > 1d and count(view) > 1", True),
        ("share(channel, email) > 50", True),
        ("count(view, within=1h, at_most=3) > 5", True), ("count(view) < 0", True), ("count(view) >= 0", True),
        ("recency(view) > 1d", False), ("count(view) > 5", False), ("sum(revenue) < 0", False),
        ("recency(any) > 1d or count(view) > 3", False), ("share(channel, email) >= 0", False),
    ],
)  # fmt: skip
def test_constant_conditions_are_found(text: str, is_found: bool) -> None:
    assert (explain_constant(compile_condition(text, WORDS)) is not None) == is_found


ROW = {
    "Country": "France", "Quantity": "6", "UnitPrice": 2.5, "InvoiceNo": "C536379", "empty": "", "flag": True,
    "properties": {"total": "12.5", "Order Total": 3, "deep": {"x": None}}, "context": '{"page": {"path": "/cart"}}',
    "a.b": "flat", "word": "six", "nan": float("nan"), "huge": "1e400",
}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("starts_with(InvoiceNo, 'C')", True), ("not starts_with(InvoiceNo, 'C')", False),
        ("ends_with(Country, \"ce\")", True), ("contains(lower(Country), 'fra')", True),
        ("Country in ['France', 'Spain']", True), ("Country not in ['France']", False),
        ("missing in ['x']", False), ("missing not in ['x']", False), ("missing != 'x'", False),
        ("not missing == 'x'", True), ("is_missing(missing)", True), ("is_missing(empty)", True),
        ("is_missing(properties.deep.x)", True), ("is_missing(nan)", True), ("is_missing(Country)", False),
        ("properties.total > 12", True), ("properties.`Order Total` == 3", True), ("word > 1", False),
        ("is_missing(word + 0)", True), ("is_missing(huge * 1)", True), ("Quantity / 0 > 1", False), ("flag", True),
        ("flag == true", True), ("not flag", False), ("word", False), ("not word", True),
        ("Quantity > UnitPrice", True),
        ("a.b == 'flat'", True), ("context.page.path == '/cart'", True), ("Quantity in [5, 6]", True),
        ("Country >= 'A' and Country < 'G'", True), ("starts_with(missing, '')", False),
        ("min(Quantity, UnitPrice, 4) == 2.5", True), ("max(Quantity, 7) == 7", True),
    ],
)  # fmt: skip
def test_row_conditions(text: str, value: bool) -> None:
    assert read_row(compile_row_rule(text, "boolean"), ROW) is value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("Quantity * UnitPrice", 15.0), ("properties.total", 12.5), ("-Quantity", -6.0), ("abs(-UnitPrice)", 2.5),
        ("word", None), ("missing + 1", None), ("Quantity / 0", None), ("1", 1.0), ("UnitPrice - 0.5 * 2", 1.5),
    ],
)  # fmt: skip
def test_row_numbers(text: str, value: float | None) -> None:
    assert read_row(compile_row_rule(text, "number"), ROW) == value


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("startswith(a, 'x')", "raw rows have no function 'startswith'. Did you mean 'starts_with'?"),
        ("starts_with(a)", "write starts_with(column, 'text')"),
        ("lower(a, b) == 'x'", "write lower(column)"),
        ("Quantity * 2", "is a number; a condition is needed"),
        ("a + 'x' > 1", "is a text, not a number"),
        ("time > 7d", "is a duration; columns of a raw row have none"),
        ("1 < 2", "reads no column"),
        ("traits.gender == 'f'", "'traits.gender' is a protected trait"),
        ("`Gender` == 'f' and lower(traits.GENDER) == 'f'", "'traits.GENDER' is a protected trait"),
    ],
)
def test_row_mistakes_are_explained(text: str, said: str) -> None:
    with pytest.raises(PlaybookError) as caught:
        compile_row_rule(text, "boolean", ("gender",))
    assert said in str(caught.value)


@quick
@given(st.floats(1e-6, 1e9))
def test_durations_print_as_rules_read_them(seconds: float) -> None:
    read = parse_rule(format_duration(seconds))
    assert isinstance(read, Constant)
    assert read.unit == "duration"
    assert read.value == pytest.approx(seconds, rel=1e-15)


def test_every_primitive_operator_and_unit_is_documented() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for name, signature in SIGNATURES.items():
        assert f"### `{name}`" in page, f"{name} is not documented"
        section = page.split(f"### `{name}`")[1].split("\n#")[0]
        for option in signature.options:
            is_there = f"{option}=" in section or f"`{option}`" in section
            assert is_there, f"the option {option} of {name} is not documented"
    words = [*OPERATORS.keys() - {"neg"}, "in", "not in", *FUNCTIONS, *ROW_FUNCTIONS, "true", "false"]
    words += ["state", "state_p", "trait(", "prediction(", "segment("]
    for word in words:
        assert f"`{word}" in page, f"{word} is not documented"
    for unit in UNIT_SECONDS:
        assert f"| `{unit}` |" in page, f"the unit {unit} is not documented"
    for number in (MAX_TEXT, MAX_DEPTH, MAX_LENGTH):
        assert f"{number:,}" in page
