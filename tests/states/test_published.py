"""Filtering, ticks, thresholds, smoothing at touches and reasons, against a plain-Python reading of DESIGN §6."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from sojourn.states.hmm import hysteresis as publish
from sojourn.states.hmm import model as hm
from sojourn.states.published import RAW, Thresholds, infer_states, measure_calm, tune_thresholds
from sojourn.states.reasons import find_flip, find_runner_up, reasons_column, split_odds
from sojourn.states.rows import Rows, arrange_rows, take_rows

STATES = ("a", "b", "c")
MINUTE = 60_000_000


def make_world(seed: int, n_customers: int = 6, n_rows: int = 60) -> tuple[hm.Model, Rows]:
    """A random model with sticky states, and random rows with touches, ties and long silences."""
    rng = np.random.default_rng(seed)

    def rows(*shape):
        return rng.dirichlet(np.ones(shape[-1]), shape[:-1])

    sticky = 0.7 * np.eye(3) + 0.3 * rows(3, 3)
    model = hm.Model(
        states=STATES,
        touches=("mail",),
        initial=rows(3),
        event_transitions=np.stack([sticky, 0.5 * sticky + 0.5 * rows(3, 3)]),
        boundaries_s=np.array([60.0, 3600.0, 86400.0]),
        hazards=rng.uniform(0.1, 0.9, (3, 3)),
        silent_transitions=np.stack([0.6 * np.eye(3) + 0.4 * rows(3, 3) for _ in range(3)]),
        channels=(
            hm.Channel("event_class", ("x", "y", "other"), rows(3, 3)),
            hm.Channel("level", ("low", "high"), rows(3, 2), weight=0.5),
        ),
    )
    book = SimpleNamespace(class_names=("x", "mail", "y", "other"), touches=("mail",))
    gaps = rng.choice([0, 5, 59, 60, 600, 3600, 90_000], n_rows) * 1_000_000
    at = np.cumsum(gaps) + 10**15
    symbols = rng.choice([0, 1, hm.MISSING], (n_rows, 1)).astype(np.uint8)
    made = arrange_rows(
        book, rng.integers(0, n_customers, n_rows).astype(np.int32), at, rng.integers(0, 4, n_rows).astype(np.int16),
        symbols, None, (60.0, 3600.0, 86400.0), n_customers, int(at[-1]) + int(rng.integers(0, 10**11)),
    )  # fmt: skip
    return model, made


def walk_plainly(model, rows, k, limits):
    """One customer, one instant at a time: what is filtered and published at each row, and every move."""
    ticks, cells = hm.tick_matrices(model), hm.event_matrices(model)
    bounds = [round(b * 1e6) for b in model.boundaries_s]
    own = int(rows.data.starts[k])
    p = state = last = pending = None
    since = crossed = u = 0
    shown, moves = [], []

    def switch(t, to, cause):
        nonlocal state, since, pending
        moves.append((t, state, to, cause, since))
        state, since, pending = to, t, None

    def consider(t, is_event):
        nonlocal pending
        best = int(np.argmax(p))
        wants = (
            best != state and p[best] >= limits.enter and p[best] - p[state] >= limits.margin
            and p[state] <= limits.exit
        )  # fmt: skip
        if not wants:
            pending = None
        elif limits.min_dwell_s == 0 or (is_event and pending and pending[0] == best):
            switch(t, best, "event" if is_event else "silence")
        elif not pending or pending[0] != best:
            pending = (best, t)

    def pass_time(t):
        nonlocal p, crossed
        while p is not None:
            instants = []
            if pending:
                instants.append((pending[1] + round(limits.min_dwell_s * 1e6), 0))
            if crossed < len(bounds):
                instants.append((last + bounds[crossed], 1))
            if not instants or min(instants)[0] > t:
                return
            instant, kind = min(instants)
            if kind == 0:
                switch(instant, pending[0], "silence")
            else:
                p = p @ ticks[crossed]
                p, crossed = p / p.sum(), crossed + 1
                consider(instant, False)

    for i in range(rows.starts[k], rows.starts[k + 1]):
        t = int(rows.at[i])
        pass_time(t)
        if rows.touch[i]:
            u = int(rows.touch[i])
        else:
            row = rows.data.combos[rows.data.code[own]]
            likely = np.prod([np.exp(hm.channel_logs(c)[o]) for c, o in zip(model.channels, row, strict=True)], axis=0)
            p = (model.initial if p is None else p @ cells[crossed, u]) * likely
            p = p / p.sum()
            own, last, crossed, u = own + 1, t, 0, 0
            if state is None:
                state, since = int(np.argmax(p)), t
            else:
                consider(t, True)
        shown.append((None if p is None else p.copy(), state))
    pass_time(rows.now)
    return shown, moves, p, state


limits = st.builds(
    Thresholds,
    enter=st.sampled_from([0.0, 0.4, 0.6, 0.8]),
    margin=st.sampled_from([0.0, 0.2]),
    exit=st.sampled_from([1.0, 0.4]),
    min_dwell_s=st.sampled_from([0.0, 30.0, 4000.0]),
)


@settings(max_examples=60, deadline=None, print_blob=True)
@given(st.integers(0, 10_000), limits)
def test_compiled_walk_equals_plain_walk(seed, limit):
    model, rows = make_world(seed)
    for chunk in infer_states(model, limit, rows):
        for k in range(chunk.first, chunk.last):
            shown, moves, p, state = walk_plainly(model, rows, k, limit)
            for j, (posterior, published) in enumerate(shown):
                i = rows.starts[k] + j - chunk.lo
                assert chunk.published[i] == (-1 if published is None else published)
                if posterior is None:
                    assert np.isnan(chunk.filtered[i]).all()
                else:
                    np.testing.assert_allclose(chunk.filtered[i], posterior, rtol=1e-9, atol=1e-12)
            mine = chunk.moves[chunk.moves[:, publish.MOVE_CUSTOMER] == k - chunk.first]
            causes = ["event" if m[1] >= 0 else "silence" for m in mine]
            found = [(int(m[0]), int(m[3]), int(m[4]), c, int(m[5])) for m, c in zip(mine, causes, strict=True)]
            assert found == moves
            if state is not None:
                assert chunk.facts[k - chunk.first, publish.STATE] == state
                np.testing.assert_allclose(chunk.at_now[k - chunk.first], p, rtol=1e-9, atol=1e-12)


@settings(max_examples=20, deadline=None, print_blob=True)
@given(st.integers(0, 10_000))
def test_chunks_and_threads_change_nothing(seed):
    model, rows = make_world(seed, n_customers=12, n_rows=150)
    limit = Thresholds(0.5, 0.1, 1.0, 30.0)
    whole = list(infer_states(model, limit, rows))
    parts = list(infer_states(model, limit, rows, n_threads=3, rows_per_chunk=20))
    alone = list(infer_states(model, limit, rows, n_threads=1, rows_per_chunk=20))
    assert all(np.array_equal(a.smoothed, b.smoothed, equal_nan=True) for a, b in zip(parts, alone, strict=True))
    assert len(parts) > 1
    for name in ("filtered", "smoothed", "published", "at_now"):
        left, right = (np.concatenate([getattr(c, name) for c in chunks]) for chunks in (whole, parts))
        # Touches are smoothed by matrix products over whatever is in the chunk, so only to rounding.
        np.testing.assert_allclose(left, right, rtol=1e-12, atol=1e-14)
    assert sum(len(c.moves) for c in whole) == sum(len(c.moves) for c in parts)


@settings(max_examples=20, deadline=None, print_blob=True)
@given(st.integers(0, 10_000), st.integers(1, 40))
def test_later_rows_never_change_what_was_filtered_and_published(seed, n_cut):
    """Causality: with the last rows taken away, everything before them is the same."""
    model, rows = make_world(seed, n_customers=3)
    limit = Thresholds(0.5, 0.1, 1.0, 30.0)
    kept = np.sort(np.argsort(rows.at, kind="stable")[:-n_cut])
    now = int(rows.at[kept].max())
    whole = next(infer_states(model, limit, rows))
    for k in range(rows.n_customers):
        lo, hi = rows.starts[k], rows.starts[k + 1]
        n = int((rows.at[lo:hi] <= now).sum())
        own = int((rows.touch[lo : lo + n] == 0).sum())
        if n == hi - lo or not own:
            continue
        one = take_rows(rows, np.array([k]))
        starts, code, step = np.array([0, own]), one.data.code[:own], one.data.step[:own]
        data = replace(one.data, starts=starts, code=code, step=step, end=np.zeros(1, int))
        cut = replace(one, starts=np.array([0, n]), order=one.order[:n], at=one.at[:n], touch=one.touch[:n],
                      own_row=one.own_row[:own], data=data, now=now)  # fmt: skip
        part = next(infer_states(model, limit, cut))
        assert np.array_equal(part.published, whole.published[lo : lo + n])
        assert np.array_equal(part.filtered, whole.filtered[lo : lo + n], equal_nan=True)


def smooth_by_enumeration(model, rows, k):
    """Smoothed posterior at each row of one customer: a chain of explicit instants, forwards and backwards."""
    ticks, cells = hm.tick_matrices(model), hm.event_matrices(model)
    bounds = [round(b * 1e6) for b in model.boundaries_s]
    own, u, crossed, last = int(rows.data.starts[k]), 0, 0, None
    matrices, likes, row_of = [], [], []

    def tick_until(t):
        nonlocal crossed
        while last is not None and crossed < len(bounds) and last + bounds[crossed] <= t:
            matrices.append(ticks[crossed])
            likes.append(np.ones(3))
            crossed += 1

    for i in range(rows.starts[k], rows.starts[k + 1]):
        tick_until(int(rows.at[i]))
        if rows.touch[i]:
            u = int(rows.touch[i])
            row_of.append(len(matrices) - 1)
            continue
        row = rows.data.combos[rows.data.code[own]]
        like = np.prod([np.exp(hm.channel_logs(c)[o]) for c, o in zip(model.channels, row, strict=True)], axis=0)
        matrices.append(np.tile(model.initial, (3, 1)) if last is None else cells[crossed, u])
        likes.append(like)
        own, u, crossed, last = own + 1, 0, 0, int(rows.at[i])
        row_of.append(len(matrices) - 1)
    tick_until(rows.now)
    p, forward = np.full(3, 1 / 3), []
    for m, e in zip(matrices, likes, strict=True):
        p = (p @ m) * e
        p = p / p.sum()
        forward.append(p)
    b, out = np.ones(3), [None] * len(matrices)
    for j in range(len(matrices) - 1, -1, -1):
        out[j] = forward[j] * b / (forward[j] * b).sum()
        b = matrices[j] @ (likes[j] * b)
        b = b / b.sum()
    return [np.full(3, np.nan) if j < 0 else out[j] for j in row_of]


@settings(max_examples=40, deadline=None, print_blob=True)
@given(st.integers(0, 10_000))
def test_smoothed_rows_equal_enumeration_touches_included(seed):
    model, rows = make_world(seed)
    for chunk in infer_states(model, RAW, rows, rows_per_chunk=25):
        for k in range(chunk.first, chunk.last):
            lo, hi = rows.starts[k] - chunk.lo, rows.starts[k + 1] - chunk.lo
            for mine, plain in zip(chunk.smoothed[lo:hi], smooth_by_enumeration(model, rows, k), strict=True):
                np.testing.assert_allclose(mine, plain, rtol=1e-8, atol=1e-10)


@settings(max_examples=30, deadline=None, print_blob=True)
@given(st.integers(0, 10_000))
def test_reasons_add_up_to_the_log_odds(seed):
    model, rows = make_world(seed)
    chunk = next(infer_states(model, RAW, rows))
    who = np.flatnonzero(chunk.facts[:, publish.N_OWN] > 0)
    state = chunk.facts[who, publish.STATE]
    against = find_runner_up(chunk.at_now[who], state)
    assert (state != against).all()
    code = rows.data.code[rows.data.starts[who + 1] - 1]
    parts = split_odds(model, rows.data.combos, chunk.carried[who], chunk.facts[who], code, state, against)
    each = np.arange(len(who))
    odds = np.log(chunk.at_now[who][each, state] / chunk.at_now[who][each, against])
    np.testing.assert_allclose(parts.weights.sum(axis=1), odds, rtol=1e-8, atol=1e-8)
    for column in (reasons_column(model, parts), reasons_column(model, parts, 2)):
        told = [sum(r["weight"] for r in reasons) for reasons in column.to_pylist()]
        np.testing.assert_allclose(told, odds, rtol=1e-8, atol=1e-8)


@settings(max_examples=30, deadline=None, print_blob=True)
@given(st.integers(0, 10_000))
def test_smallest_change_really_flips(seed):
    model, rows = make_world(seed)
    chunk = next(infer_states(model, RAW, rows))
    for k in np.flatnonzero((chunk.facts[:, publish.N_OWN] > 0) & (chunk.facts[:, publish.TICKS_NOW] == 0)):
        state = int(chunk.at_now[k].argmax())
        row = rows.data.combos[rows.data.code[rows.data.starts[k + 1] - 1]]
        flip = find_flip(model, row, chunk.at_now[k], 0, state)
        if flip is None or not flip.changes:
            continue
        p = np.log(chunk.at_now[k])
        for was, becomes in flip.changes:
            channel = next(c for c in model.channels if c.name == ("event_class" if "event" in becomes else "level"))
            c = model.channels.index(channel)
            logs = hm.channel_logs(channel)
            p = p + logs[channel.symbols.index(becomes.split(": ")[1])] - logs[row[c]]
            assert was != becomes
        assert model.states[int(p.argmax())] == flip.to_state != model.states[state]


def test_thresholds_tame_flaps_and_the_budget_is_kept():
    model, rows = make_world(7, n_customers=40, n_rows=4000)
    raw = measure_calm(model, [RAW], rows)[0]
    stability = SimpleNamespace(
        enter=None, margin=None, exit=None, min_dwell_s=None, flaps_per_month=raw.flaps_per_month / 4
    )
    chosen, curve, is_within = tune_thresholds(model, stability, rows)
    assert is_within
    assert chosen.flaps_per_month <= raw.flaps_per_month / 4
    assert chosen.delay_s == min(c.delay_s for c in curve if c.flaps_per_month <= stability.flaps_per_month)
    assert chosen.delay_s > raw.delay_s
    fixed = SimpleNamespace(enter=0.7, margin=None, exit=None, min_dwell_s=0.0, flaps_per_month=0.0)
    tried = {(c.thresholds.enter, c.thresholds.min_dwell_s) for c in tune_thresholds(model, fixed, rows)[1]}
    assert tried == {(0.7, 0.0)}


def test_raw_publishing_is_the_likeliest_state():
    model, rows = make_world(3)
    chunk = next(infer_states(model, RAW, rows))
    own = rows.own_row
    assert np.array_equal(chunk.published[own], chunk.filtered[own].argmax(axis=1))


def test_moves_stay_inside_time():
    model, rows = make_world(11, n_customers=10, n_rows=500)
    chunk = next(infer_states(model, Thresholds(0.4, 0.0, 1.0, 0.0), rows))
    at, since = chunk.moves[:, publish.MOVE_AT], chunk.moves[:, publish.MOVE_SINCE]
    assert len(at) > 10
    assert (at <= rows.now).all()
    assert (since <= at).all()
    assert (chunk.moves[:, publish.MOVE_ROW] < 0).any()
    assert (chunk.moves[:, publish.MOVE_FROM] != chunk.moves[:, publish.MOVE_TO]).all()
