"""Playbooks: what is read, what is refused and how, and that nothing but a PlaybookError ever comes out."""

from __future__ import annotations

import dataclasses
import itertools
import re
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sojourn.errors import PlaybookError, Problem
from sojourn.playbook.load import list_ready_playbooks, load_playbook, parse_playbook
from sojourn.playbook.objects import Playbook
from sojourn.playbook.reader import KEYS, RESERVED, STRENGTHS
from sojourn.playbook.yaml import MAX_BYTES, read_yaml
from tests import ROOT

READY = ("finance", "health", "media", "saas", "shop")
PAGE = ROOT / "docs" / "reference" / "playbook.md"

SMALL = """\
playbook: bikes
version: 3
source: {customer: user_id, time: at, event: event, channel: medium}
events:
  look: {name: [Viewed, Seen], measures: {price: price}, properties: {product: sku}}
  buy: {name: Bought, where: properties.total > 0, measures: {revenue: "properties.total * 2"}}
  mail: {name: Mail Sent, touch: true}
features:
  looks: count(look, within=1h)
  looks_twice: looks * 2
  spend: sum(revenue)
fingerprint: [looks, spend]
states:
  dreaming: {typical: {look: 3}, typical_gap: 2d}
  riding:
    about: Has one.
    job: Keep it running.
    anxieties: [breaking down]
    typical: {buy: 2}
    indicators:
      - {when: "recency(buy) < 60d", strength: strong}
      - when: looks >= 3
    creative: Care tips.
    channels: [email]
moments:
  doubt: {sequence: [look, look, buy], within: 2d}
outcomes:
  conversion: {event: buy, within: 28d}
  churn: {silence: 60d}
  money: {measure: revenue, within: 90d}
segments:
  vip: {when: spend > 500}
audiences:
  ready: {when: "state == 'riding' and state_p > 0.7 and segment(vip)", purpose: marketing}
protected: [gender]
consent: {purposes: {marketing: {default: denied, from: context.consent}, analytics: granted}}
activations:
  nudge: {audience: ready, channel: email, destination: webhook, holdout: 0.2}
stability: {flaps_per_month: 1, enter: 0.8, exit: 0.3, margin: null, min_dwell: 1h}
targets:
  soon: {from: dreaming, to: riding, at_least: 40%, within: 7d}
  rarely: {from: riding, to: dreaming, median: 90d, about: Keep them.}
"""


def change(old: str, new: str, text: str = SMALL) -> str:
    assert text.count(old) >= 1, old
    return text.replace(old, new, 1)


def problems_of(text: str) -> list[str]:
    with pytest.raises(PlaybookError) as caught:
        parse_playbook(text, "p.yaml")
    return [str(problem) for problem in caught.value.problems]


def test_everything_that_is_written_is_read() -> None:
    playbook = parse_playbook(SMALL)
    assert (playbook.name, playbook.version, playbook.path) == ("bikes", "3", None)
    assert playbook.source.customer == ("user_id",)
    assert playbook.source.duplicates == "keep"
    assert playbook.class_names == ("look", "buy", "mail", "other")
    assert playbook.touches == ("mail",)
    assert playbook.measure_names == ("price", "revenue")
    assert playbook.property_names == ("product",)
    look, buy, _ = playbook.events
    assert look.raw_names == ("Viewed", "Seen")
    assert look.where is None
    assert buy.where is not None
    assert buy.where.text == "properties.total > 0"
    assert buy.line == 6
    assert playbook.feature_names == ("looks", "looks_twice", "spend")
    assert playbook.features[1].program.calls == playbook.features[0].program.calls
    assert playbook.fingerprint == ("looks", "spend")
    assert playbook.state_names == ("dreaming", "riding")
    dreaming, riding = playbook.states
    assert dreaming.typical == (("look", 3.0),)
    assert dreaming.typical_gap_s == 172_800.0
    assert [i.strength for i in riding.indicators] == ["strong", "medium"]
    assert riding.indicators[1].when.calls[0].option("at_most") == 3
    assert riding.anxieties == ("breaking down",)
    assert playbook.moments[0].sequence == ("look", "look", "buy")
    assert playbook.moments[0].within_s == 172_800.0
    conversion, churn, money = playbook.outcomes
    assert (conversion.event, churn.silence_s, money.measure) == ("buy", 5_184_000.0, "revenue")
    assert playbook.segments[0].when.program is not None
    assert playbook.audiences[0].when.program is None
    assert [p.is_granted_by_default for p in playbook.consent] == [False, True]
    assert playbook.consent[0].path == "context.consent"
    assert playbook.activations[0].holdout_p == 0.2
    assert playbook.stability.min_dwell_s == 3_600.0
    assert playbook.stability.margin is None
    soon, rarely = playbook.targets
    assert (soon.from_state, soon.to_state, soon.at_least_p, soon.within_s) == ("dreaming", "riding", 0.4, 604_800.0)
    assert (soon.median_s, soon.at_most_p, rarely.median_s, rarely.within_s) == (None, None, 7_776_000.0, None)
    assert rarely.about == "Keep them."
    assert playbook.warnings == ()
    assert len(playbook.hash) == 64


def test_a_playbook_is_frozen() -> None:
    playbook = parse_playbook(SMALL)
    with pytest.raises(dataclasses.FrozenInstanceError):
        playbook.name = "other"  # type: ignore[misc]


@pytest.mark.parametrize("name", READY)
def test_ready_playbooks_are_right_and_quick_to_read(name: str) -> None:
    load_playbook(name)  # the first reading builds the parser
    started = time.process_time()  # of this process: others may keep the machine busy
    playbook = load_playbook(name)
    assert time.process_time() - started < 1.0
    assert playbook.name == name
    assert playbook.warnings == ()
    assert playbook.path is not None


def test_the_ready_playbooks_are_listed() -> None:
    assert list_ready_playbooks() == READY


def test_silence_can_be_listed_learned_or_off() -> None:
    for setting, boundaries, is_learned in [
        ("[1h, 2d]", (3_600.0, 172_800.0), False),
        ("off", (), False),
        ("learned", (1_800.0, 86_400.0, 604_800.0, 2_592_000.0, 7_776_000.0), True),
        ("null", (1_800.0, 86_400.0, 604_800.0, 2_592_000.0, 7_776_000.0), False),
    ]:
        model = parse_playbook(SMALL + f"model: {{silence: {setting}, extra_states: 2}}\n").model
        assert (model.silence_s, model.is_silence_learned, model.extra_states) == (boundaries, is_learned, 2)


def test_a_class_without_name_and_condition_goes_by_its_own_name() -> None:
    assert parse_playbook(change("{name: Mail Sent, touch: true}", "{touch: true}")).events[2].raw_names == ("mail",)


def test_the_segment_format_knows_its_columns() -> None:
    text = change("{customer: user_id, time: at, event: event, channel: medium}", "{format: segment}")
    source = parse_playbook(text).source
    assert (source.customer, source.time, source.event) == (("userId", "anonymousId"), "timestamp", "event")
    assert (source.id, source.duplicates) == ("messageId", "id")


WRONG = [
    # unknown keys, with the nearest
    ("playbook: bikes", "playbok: bikes", 1, "a playbook has no key 'playbok'"),
    ("typical_gap: 2d", "typical_gpa: 2d", 14, "state 'dreaming' has no key 'typical_gpa'"),
    ("strength: strong", "strenght: strong", 21, "Did you mean 'strength'?"),
    # references
    ("typical: {buy: 2}", "typical: {bye: 2}", 19,
     "state 'riding': typical: there is no event class 'bye'. Did you mean 'buy'?"),
    ("fingerprint: [looks, spend]", "fingerprint: [loks, spend]", 12,
     "fingerprint: there is no feature 'loks'. Did you mean 'looks'?"),
    ("sequence: [look, look, buy]", "sequence: [look, lok]", 26, "moment 'doubt': there is no event class 'lok'"),
    ("event: buy, within: 28d", "event: by, within: 28d", 28, "outcome 'conversion': there is no event class 'by'"),
    ("measure: revenue, within", "measure: revenu, within", 30,
     "there is no measure 'revenu'. Did you mean 'revenue'?"),
    ("audience: ready", "audience: redy", 38, "activation 'nudge': there is no audience 'redy'. Did you mean 'ready'?"),
    ("purpose: marketing", "purpose: marketting", 34,
     "there is no purpose of consent 'marketting'. Did you mean 'marketing'?"),
    ("segment(vip)", "segment(vipp)", 34, "there is no segment 'vipp'"),
    ("state == 'riding'", "state == 'ridding'", 34, "there is no state 'ridding'. Did you mean 'riding'?"),
    ("spend > 500", "spent > 500", 32, "segment 'vip': there is no feature 'spent'. Did you mean 'spend'?"),
    # features
    ("looks: count(look, within=1h)", "looks: looks_twice + 1", 9,
     "the feature 'looks_twice' is not defined before this"),
    ("looks: count(look, within=1h)", "looks: looks + 1", 9, "the feature 'looks' is not defined before this"),
    ("spend: sum(revenue)", "spend:", 11, "feature 'spend' is empty"),
    # touches, protected traits
    ("typical: {look: 3}", "typical: {mail: 3}", 14, "'mail' is a touch, something we did"),
    ("where: properties.total > 0", "where: traits.gender == 'f'", 6, "'traits.gender' is a protected trait"),
    ("price: price", "price: gender", 5, "'gender' is a protected trait"),
    ("product: sku", "product: traits.Gender", 5, "'Gender' is a protected trait"),
    ("channel: medium", "channel: gender", 3, "source channel: 'gender' is a protected trait"),
    ("spend > 500", "trait(gender) == 'f'", 32, "reads a protected trait"),
    # names
    ("  riding:\n", "  other:\n", 15, "the state cannot be called 'other', a word with a meaning of its own"),
    ("  look: {", "  any: {", 5, "the event class cannot be called 'any'"),
    ("  riding:\n", "  extra_1:\n", 15, "state 'extra_1' needs another name"),
    ("  riding:\n", "  new:\n", 15, "state 'new' needs another name"),
    ("  mail: {", "  Mail Sent: {", 7, "the event class 'Mail Sent' needs another name: small letters"),
    ("  mail: {", "  1mail: {", 7, "needs another name"),
    ("playbook: bikes", "playbook: My Bikes", 1, "Did you mean 'my_bikes'?"),
    # values
    ("typical: {look: 3}", "typical: {look: often}", 14, "must be a number, not 'often'"),
    ("typical: {look: 3}", "typical: {look: -1}", 14, "must be from 0.001 to 1000"),
    ("typical: {look: 3}", "typical: {look: .nan}", 14, "must be a number, not '.nan'"),
    ("typical: {look: 3}", "typical: {look}", 14, "'look' needs a weight"),
    ("typical: {look: 3}", "typical: [look]", 14, "state 'dreaming': typical must be a mapping"),
    ("typical_gap: 2d", "typical_gap: 2", 14, "must be a duration such as 30m, 48h or 7d, not '2'. Did you mean '2d'?"),
    ("typical_gap: 2d", "typical_gap: 9999d", 14, "at most ten years"),
    ("strength: strong", "strength: strnog", 21,
     "must be one of strong, medium, weak, not 'strnog'. Did you mean 'strong'?"),
    ("touch: true", "touch: yes", 7, "touch must be true or false, not 'yes'"),
    ("holdout: 0.2", "holdout: 20", 38, "holdout must be from 0 to 0.9, not 20"),
    ("exit: 0.3", "exit: 1.9", 39, "stability exit must be from 0 to 1, not 1.9"),
    ("min_dwell: 1h", "min_dwell: -1h", 39, "stability min_dwell must be a duration"),
    ("analytics: granted", "analytics: yes", 36, "must be one of granted, denied, not 'yes'"),
    ("time: at", "time: at, timezone: Europe/Pariss", 3, "Did you mean 'Europe/Paris'?"),
    ("time: at", "time: at, timezone: ../../etc/passwd", 3, "is not a time zone"),
    ("customer: user_id", "format: tabel, customer: user_id", 3, "Did you mean 'table'?"),
    ("event: buy, within: 28d", "event: buy, silence: 3d", 28,
     "needs exactly one of event, measure and silence, and has event and silence"),
    ("event: buy, within: 28d", "event: buy", 28, "outcome 'conversion' needs 'within'"),
    ("churn: {silence: 60d}", "churn: {}", 29, "and has none of them"),
    ("within: 2d", "about: x", 26, "moment 'doubt' needs 'within'"),
    ("      - when: looks >= 3", "      - strength: weak", 22, "an indicator needs 'when'"),
    ("      - when: looks >= 3", "      - looks >= 3", 22, "an indicator must be a mapping"),
    # targets
    ("from: dreaming, to", "from: dreamng, to", 41,
     "target 'soon': from: there is no state 'dreamng'. Did you mean 'dreaming'?"),
    ("at_least: 40%, within", "atleast: 40%, within", 41, "Did you mean 'at_least'?"),
    ("at_least: 40%, within: 7d", "at_least: 40%", 41, "target 'soon' needs 'within'"),
    ("at_least: 40%, within", "at_least: 40, within", 41, "between 0% and 100%, not 40. Did you mean '40%'?"),
    ("at_least: 40%, within", "at_least: most, within", 41, "must be a share such as 40% or 0.4, not 'most'"),
    ("at_least: 40%, within", "at_least: 40%, median: 3d, within", 41,
     "needs exactly one of median, at_least and at_most, and has median and at_least"),
    ("at_least: 40%, within: 7d", "about: x", 41, "and has none of them"),
    ("median: 90d", "median: 90d, within: 3d", 42, "half within that long is what a median says"),
    ("from: riding, to: dreaming", "from: riding, to: riding", 42, "a move is from one state to another"),
    ("from: riding, to: dreaming", "from: dreaming, to: riding", 42,
     "target 'soon' is about the move dreaming → riding already"),
    ("from: riding, to: dreaming", "from: riding", 42, "target 'rarely' needs 'to'"),
    # rules inside YAML
    ('when: "recency(buy) < 60d"', 'when: count(look, within=1h) > 3', 21,
     "a comma cut the rule before 'within=1h) > 3'"),
    ("spend > 500", "spend > 500d", 32, "segment 'vip': 'spend > 500d' compares a number with a duration"),
    ("properties.total > 0", "properties.total", 6, None),
    ("properties.total * 2", "lower(x)", 6, "measure 'revenue': 'lower(x)' is a text; a number is needed"),
    # classes that never match
    ("{name: Mail Sent, touch: true}", "{name: Seen, touch: true}", 7,
     "event class 'mail' never matches: 'look' on line 5"),
    ("[Viewed, Seen]", "[Viewed, Viewed]", 5, "names 'Viewed' twice"),
    ("event: event, ", "format: table, ", 5, "has raw names, but source has no 'event'"),
    ("  dreaming: {typical: {look: 3}, typical_gap: 2d}\n", "", 14,
     "a playbook needs at least two states; this one has 1"),
    ("fingerprint: [looks, spend]", "fingerprint: [looks, looks]", 12, "fingerprint names 'looks' twice"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "line", "said"), WRONG, ids=[new.strip()[:40] for _, new, _, _ in WRONG])
def test_mistakes_name_their_line(old: str, new: str, line: int, said: str | None) -> None:
    text = change(old, new)
    if said is None:
        assert parse_playbook(text)
        return
    found = problems_of(text)
    assert any(problem.startswith(f"p.yaml:{line}: ") and said in problem for problem in found), "\n".join(found)


def test_one_mistake_is_one_problem() -> None:
    for old, new in [
        ("looks: count(look, within=1h)", "looks: count(lok, within=1h)"),  # used by looks_twice and an indicator
        ("spend: sum(revenue)", "spend: sum(revenue) +"),  # used by the fingerprint and a segment
        ("vip: {when: spend > 500}", "vip: {when: spend > 5d}"),  # used by an audience
        ('ready: {when: "state', 'ready: {when: "stat'),  # used by an activation
    ]:
        assert len(problems_of(change(old, new))) == 1


def test_all_problems_come_at_once_sorted_with_one_command() -> None:
    text = change("typical: {buy: 2}", "typical: {bye: 2}")
    text = change("looks: count(look, within=1h)", "looks: count(lok)", text)
    text = change("holdout: 0.2", "holdout: x", change("sequence: [look, look, buy]", "sequence: [lok]", text))
    found = problems_of(text)
    lines = [int(re.match(r"p\.yaml:(\d+): ", problem)[1]) for problem in found]  # type: ignore[index]
    assert lines == [9, 19, 26, 38]
    assert [" Run: " in problem for problem in found] == [False, False, False, True]
    assert found[-1].endswith("Run: sojourn check p.yaml")


LAUGHS = "a: &a [1,1,1,1,1,1,1,1,1,1]\n" + "".join(
    f"{b}: &{b} [{','.join(['*' + a] * 10)}]\n" for a, b in itertools.pairwise("abcdefghi")
)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "a playbook is a mapping"),
        ("- a\n- b", "a playbook is a mapping"),
        ("just words", "a playbook is a mapping"),
        ("a: 1\na: 2\n", "p.yaml:2: the key 'a' is already on line 1"),
        ("a:\n\tb: 1\n", "p.yaml:2: a tab indents this line; YAML takes only spaces"),
        ("a: [1, 2\nb: 3\n", "p.yaml:2: not YAML"),
        ("a: 'x\n", "not YAML"),
        ("a: b: c", "p.yaml:1: not YAML"),
        ("a: \x00", "cannot be read as YAML"),
        ("a: \ud800", "cannot be read as YAML"),
        ("a: !!python/object/apply:os.system [ls]", "p.yaml:1: YAML tags such as"),
        ("a: !x 1", "YAML tags such as"),
        ("---\na: 1\n---\nb: 2\n", "p.yaml:3: a playbook is one YAML document"),
        ("a: &x [*x]", "the alias '*x' refers to itself"),
        ("a: *x", "p.yaml:1: "),
        ("? [a]\n: 1\n", "a key must be a single word"),
        ("<<: {a: 1}", "merge keys (<<) are not read"),
        ("[" * 10_000, "nested more than"),
        ("a: " + "{a: " * 500, "nested more than"),
        ("x: " + "y" * MAX_BYTES, "larger than 1,048,576 bytes"),
        (LAUGHS, "aliases expanded"),
    ],
    ids=range(21),
)  # fmt: skip
def test_hostile_or_broken_yaml_is_refused_at_once(text: str, said: str) -> None:
    started = time.process_time()
    assert any(said in problem for problem in problems_of(text))
    assert time.process_time() - started < 2.0


def test_a_bounded_alias_is_read() -> None:
    text = change("typical: {buy: 2}", "typical: *t", change("{typical: {look: 3}", "{typical: &t {look: 3}"))
    assert parse_playbook(text).states[1].typical == (("look", 3.0),)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    latin = tmp_path / "latin.yaml"
    latin.write_bytes("playbook: x\nabout: caf\xe9\n".encode("latin-1"))
    huge = tmp_path / "huge.yaml"
    huge.write_bytes(b"a" * (MAX_BYTES * 3))
    for path, said in [
        (latin, f"{latin}:2: this is not UTF-8 text"),
        (huge, "larger than"),
        (tmp_path, "the playbook cannot be read"),
        (tmp_path / "missing.yaml", "the playbook cannot be read: No such file or directory"),
    ]:
        with pytest.raises(PlaybookError) as caught:
            load_playbook(path)
        assert said in str(caught.value)
    with pytest.raises(PlaybookError, match=r"ready are .*Did you mean 'shop'"):
        load_playbook("shpo")
    with pytest.raises(PlaybookError):
        load_playbook("a\0b")


def test_a_byte_order_mark_is_no_part_of_the_playbook(tmp_path: Path) -> None:
    path = tmp_path / "bom.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + SMALL.encode())
    assert load_playbook(path).name == "bikes"
    assert load_playbook(str(path)).path == path


def test_warnings_do_not_stop() -> None:
    text = change('"recency(buy) < 60d"', '"recency(any) > 60d"')
    warning = str(parse_playbook(text, "p.yaml").warnings[0])
    assert warning.startswith("p.yaml:21: state 'riding': the indicator 'recency(any) > 60d' can never fire")
    assert "typical_gap" in warning
    text = change("{typical: {look: 3}, typical_gap: 2d}", "{about: x}")
    assert "neither 'typical' nor 'indicators'" in str(parse_playbook(text).warnings[0])
    text = change("{name: Mail Sent, touch: true}", "{name: [Mail Sent, Seen], touch: true}")
    assert "never gets 'Seen': 'look' takes it first" in str(parse_playbook(text).warnings[0])
    text = change(
        '"recency(buy) < 60d"', '"count(mail, within=7d) >= 2"', change("spend: sum(revenue)", "spend: count(mail)")
    )
    assert [
        str(warning).partition(" reads only touches")[0] for warning in parse_playbook(text, "p.yaml").warnings
    ] == [
        "p.yaml:21: state 'riding': the indicator 'count(mail, within=7d) >= 2'",
        "p.yaml:12: fingerprint: 'spend'",
    ]
    text = change('"recency(buy) < 60d"', '"count(mail, within=7d) >= 2 and recency(buy) > 9d"')
    assert parse_playbook(text).warnings == ()


SHOP = load_playbook("shop").text


@settings(max_examples=60, deadline=10_000, print_blob=True)
@given(st.data())
def test_a_mutated_playbook_is_read_or_refused(data: st.DataObject) -> None:
    lines = SHOP.splitlines()
    for _ in range(data.draw(st.integers(1, 4), label="mutations")):
        at = data.draw(st.integers(0, len(lines) - 1), label="line")
        kind = data.draw(st.sampled_from(["drop", "repeat", "insert", "indent", "swap", "word"]), label="kind")
        if kind == "drop":
            del lines[at]
        elif kind == "repeat":
            lines.insert(at, lines[data.draw(st.integers(0, len(lines) - 1))])
        elif kind == "insert":
            i = data.draw(st.integers(0, len(lines[at])))
            lines[at] = lines[at][:i] + data.draw(st.text(max_size=4)) + lines[at][i:]
        elif kind == "indent":
            lines[at] = " " * data.draw(st.integers(0, 8)) + lines[at].lstrip()
        elif kind == "swap":
            lines[at], lines[0] = lines[0], lines[at]
        else:
            word = data.draw(
                st.sampled_from(["null", "[]", "{}", "- x", "1e99", "~", "*a", "&a", "!!int", "'", "1d", "any"])
            )
            key, colon, _ = lines[at].partition(":")
            lines[at] = f"{key}{colon or ':'} {word}"
    try:
        playbook = parse_playbook("\n".join(lines))
    except PlaybookError as error:
        problems = error.problems
    else:
        assert isinstance(playbook, Playbook)
        return
    assert problems
    assert all(problem.where.startswith("playbook") and problem.what for problem in problems)


@settings(max_examples=100, deadline=5_000, print_blob=True)
@given(st.text(max_size=300))
def test_any_text_is_yaml_within_bounds_or_refused(text: str) -> None:
    problems: tuple[Problem, ...] = (Problem("", "read"),)
    try:
        read_yaml(text, "p.yaml")
    except PlaybookError as error:
        problems = error.problems
    assert problems


def test_every_key_is_documented() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for section, keys in KEYS.items():
        title = f"## `{section}`" if section else "## The whole"
        assert title in page, f"the section {section} is not documented"
        part = page.split(title)[1].split("\n## ")[0]
        for key in keys:
            assert f"| `{key}` |" in part, f"the key {key} of {section or 'the playbook'} is not documented"
    for word in (*RESERVED, *STRENGTHS):
        assert f"`{word}`" in page, f"{word} is not documented"


def test_a_text_full_of_mistakes_does_not_take_for_ever() -> None:
    words = " + ".join(f"coutn(lok{i})" for i in range(100))
    features = "".join(f"  f{i}: {words}\n" for i in range(700))
    text = change("features:\n", "features:\n" + features)
    assert len(text) < MAX_BYTES * 1.2
    started = time.process_time()
    found = problems_of(text[: MAX_BYTES - 10])
    assert time.process_time() - started < 20.0
    assert len(found) <= 201


def test_too_many_entries_are_refused() -> None:
    many = "".join(f"  c{i}: {{name: e{i}}}\n" for i in range(1_200))
    found = problems_of(change("events:\n", "events:\n" + many))
    assert any("events has 1,203 entries; at most 1,000 are allowed" in problem for problem in found)
    many = "".join(f"  f{i}: tenure() / 1d\n" for i in range(300))
    assert any("at most 256" in problem for problem in problems_of(change("features:\n", "features:\n" + many)))
    many = "".join(f"  s{i}: {{typical: {{buy: 2}}}}\n" for i in range(40))
    assert any("at most 32 states" in problem for problem in problems_of(change("states:\n", "states:\n" + many)))


def test_very_many_problems_are_counted() -> None:
    many = "".join(f"  s{i}: {{typicl: 1}}\n" for i in range(300))
    found = problems_of(change("states:\n", "states:\n" + many))
    assert len(found) == 201
    assert re.fullmatch(r"p\.yaml: \d+ more problems are not shown\.", found[-1])
