"""Segments: planted ones found again, references of other libraries, identity over refits, rules by hand."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from itertools import pairwise, permutations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.cluster.hierarchy import fcluster, linkage
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture

from sojourn.errors import EventsError
from sojourn.predict.value.purchases import merge_days, trace_histories
from sojourn.segments.choose import choose_number
from sojourn.segments.cluster import cluster, cut_merges, cut_tree, grow_tree
from sojourn.segments.describe import describe_segments, find_rules, name_segments
from sojourn.segments.find import Before, segment_customers
from sojourn.segments.lifecycle import Rhythm, stage_customers
from sojourn.segments.match import match_segments
from sojourn.segments.prepare import learn_preparation, read_numbers
from sojourn.segments.rfm import BOXES, name_rfm, score_quintiles, score_rfm
from sojourn.segments.space import learn_space, place_in_space
from tests.segments.world import plant_segments

# -- preparing inputs -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def people():
    rng = np.random.default_rng(0)
    n = 2_000
    spend = rng.lognormal(3, 1.2, n)
    mood = rng.normal(size=n)
    mood[: n // 4] = np.nan
    return pa.table(
        {
            "customer_id": [f"c{i}" for i in range(n)],
            "spend": spend,
            "spend_again": spend * 1.01 + 3,
            "age": rng.normal(40, 10, n),
            "mood": pa.array(mood, from_pandas=True),
            "is_member": rng.random(n) < 0.3,
            "plan": rng.choice(["basic", "plus", "pro"], n, p=[0.6, 0.3, 0.1]),
            "always": np.ones(n),
            "gender": rng.choice(["f", "m"], n),
        }
    )


def test_each_input_is_treated_as_its_values_ask(people):
    found = learn_preparation(people, protected=["gender"])
    kinds = {one.name: one.kind for one in found.inputs}
    assert kinds["spend"] == "signed log"
    assert kinds["age"] == "number"
    assert kinds["mood unknown"] == "missing"
    assert kinds["is_member"] == "flag"
    assert {"plan = basic", "plan = plus", "plan = pro"} <= set(kinds)
    left = {one.column: one.why for one in found.left_out}
    assert set(left) == {"always", "spend_again"}
    assert "spend" in left["spend_again"]
    assert not any("gender" in name for name in kinds)


def test_prepared_numbers_are_comparable_and_gaps_are_the_middle(people):
    found = learn_preparation(people, ["spend", "age", "mood"])
    matrix = found.apply(people)
    by_name = dict(zip(found.names, matrix.T, strict=True))
    for name in ("spend", "age"):
        assert by_name[name].std() == pytest.approx(1, abs=0.05)
        assert abs(np.median(by_name[name])) < 0.02
    assert (by_name["mood"][:500] == 0).all()
    assert by_name["mood unknown"].tolist() == [1.0] * 500 + [0.0] * 1500


def test_one_far_out_value_does_not_set_the_scale():
    table = pa.table({"x": np.r_[np.random.default_rng(0).normal(size=999), 1e6]})
    found = learn_preparation(table)
    matrix = found.apply(table)[:, 0]
    assert matrix[:999].std() == pytest.approx(1, abs=0.05)
    assert matrix.max() < 10
    assert found.apply(table, is_clipped=False).max() > 10


@pytest.mark.parametrize(
    ("inputs", "what"), [(["gender"], "protected"), (["spent"], "no column"), (["always"], "apart")]
)
def test_inputs_that_cannot_be_are_named(people, inputs, what):
    with pytest.raises(EventsError, match=what):
        learn_preparation(people, inputs, protected=["gender"])


# -- the space --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("column", "read"),
    [
        (pa.array([date(1970, 1, 3)]), 2 * 86_400.0),
        (pa.array([date(1970, 1, 3)], pa.date64()), 2 * 86_400.0),
        (pa.array([1_500], pa.timestamp("ms")), 1.5),
        (pa.array([2**62 + 1], pa.timestamp("ns")), 2**62 / 1e9),
        (pa.array([90], pa.time32("s")), 90.0),
        (pa.array([3_000_000], pa.duration("us")), 3.0),
        (pa.array([Decimal("2.50")]), 2.5),
        (pa.array([2**62 + 1]), 2.0**62),
        (pa.array([1e300]), np.nan),
        (pa.array([np.inf]), np.nan),
        (pa.array([True]), 1.0),
    ],
)
def test_every_kind_of_number_is_read(column, read):
    np.testing.assert_allclose(read_numbers(pa.chunked_array([column])), [read])


def test_far_out_values_stay_numbers_and_an_input_named_twice_counts_once():
    rng = np.random.default_rng(0)
    x = rng.normal(size=200)
    x[0], x[1] = 1e90, -1e90
    found = learn_preparation(pa.table({"": x}), ["", ""])
    assert found.names == ("",)
    for is_clipped in (True, False):
        made = found.apply(pa.table({"": x}), is_clipped=is_clipped).astype(float)
        assert np.isfinite(made**2).all()


def test_who_is_known_is_a_rule_where_it_is_all_there_is():
    rng = np.random.default_rng(0)
    x = pa.array(np.where(rng.random(80) < 0.4, 1.0, np.nan), from_pandas=True)
    found = segment_customers(pa.table({"customer_id": np.arange(80).astype(str), "x": x}))
    assert {one.rule for one in found.segments} == {"x unknown", "x known"}
    assert found.rules.agreement_p == 1.0


def test_no_more_segments_than_kinds_of_customers():
    rng = np.random.default_rng(0)
    table = pa.table({"customer_id": np.arange(90).astype(str), "plan": rng.integers(0, 3, 90).astype(float)})
    found = segment_customers(table, method="kmeans", k_max=10)
    assert len(found.segments) <= 3
    assert found.choice["score"].null_count == 0
    assert np.isfinite(found.choice["score"].to_numpy()).all()
    for method in ("auto", "kmeans", "gmm", "ward"):
        with pytest.raises(EventsError, match="tell 3 kinds of them apart: too few for 4 segments"):
            segment_customers(table, method=method, k=4)


def test_principal_components_are_those_of_scikit_learn():
    table, _ = plant_segments(1, 4)
    preparation = learn_preparation(table)
    space = learn_space(table, preparation, rng=np.random.default_rng(0))
    reference = PCA(space.directions.shape[1]).fit(preparation.apply(table).astype(float))
    assert space.share == pytest.approx(reference.explained_variance_ratio_, abs=1e-6)
    assert np.abs(np.sum(space.directions * reference.components_.T, axis=0)) == pytest.approx(1, abs=1e-5)


def test_those_far_out_are_outliers_and_hardly_anybody_else():
    table, truth = plant_segments(2, 5)
    placed = place_in_space(learn_space(table, learn_preparation(table), rng=np.random.default_rng(0)), table)
    assert placed.is_outlier[truth < 0].mean() > 0.95
    assert placed.is_outlier[truth >= 0].mean() < 0.005


# -- groups against other libraries -----------------------------------------------------------------------


def test_membership_of_a_mixture_is_that_of_scikit_learn():
    rng = np.random.default_rng(0)
    points = rng.normal(size=(600, 3)) @ rng.normal(size=(3, 3)) + np.repeat([[0.0], [3.0]], 300, axis=0)
    found = cluster(points, "gmm", 2, seed=0)
    reference = GaussianMixture(2, covariance_type=found.shape, means_init=found.centres, reg_covar=1e-3, tol=1e-3)
    reference.fit(points)
    reference.means_, reference.weights_ = found.centres, found.weights
    reference.precisions_cholesky_ = found.precisions
    if found.shape == "diag":
        reference.precisions_cholesky_ = np.stack([np.diag(one) for one in found.precisions])
    group, p = found.assign(points)
    assert (group == reference.predict(points)).all()
    assert p == pytest.approx(reference.predict_proba(points).max(axis=1), abs=1e-9)


@settings(max_examples=30)
@given(st.integers(0, 10_000), st.integers(2, 8))
def test_cut_trees_are_those_of_scipy(seed, k):
    points = np.random.default_rng(seed).normal(size=(40, 2))
    merges = linkage(points, "ward")
    assert adjusted_rand_score(cut_merges(merges, k), fcluster(merges, k, "maxclust")) == 1


def test_groups_of_a_tree_are_nested():
    points = np.random.default_rng(0).normal(size=(500, 3))
    merges = grow_tree(points)
    fine, coarse = (cut_tree(points, merges, k).assign(points)[0] for k in (9, 4))
    assert all(len(set(coarse[fine == k])) == 1 for k in range(9))


@pytest.mark.parametrize("method", ["hdbscan", "dbscan"])
def test_density_finds_bent_groups_and_leaves_noise_out(method):
    rng = np.random.default_rng(0)
    turn = rng.uniform(0, np.pi, 800)
    moons = np.r_[np.c_[np.cos(turn), np.sin(turn)], np.c_[1 - np.cos(turn), 0.4 - np.sin(turn)]]
    points = np.r_[moons + rng.normal(0, 0.05, moons.shape), rng.uniform([-4, 2], [4, 10], (40, 2))]
    truth = np.repeat([0, 1], 800)
    found = cluster(points, method, 2, seed=0)
    group, p = found.assign(points)
    assert len(found) == 2
    inside = group[:1600] >= 0
    assert inside.mean() > 0.95
    assert adjusted_rand_score(truth[inside], group[:1600][inside]) > 0.98
    assert (group[1600:] == -1).mean() > 0.9
    assert ((p >= 0) & (p <= 1)).all()


# -- how many ---------------------------------------------------------------------------------------------


def find_planted(seed, k, method="kmeans", apart=5.0):
    table, truth = plant_segments(seed, k, apart=apart)
    found = segment_customers(table, method=method, seed=0)
    real = truth >= 0
    group = found.customers["segment"].to_numpy()
    return len(found.segments), adjusted_rand_score(truth[real], group[real]), found


def test_planted_segments_and_their_number_are_found():
    k, ari, found = find_planted(5, 4)
    assert k == 4
    assert ari > 0.9
    assert found.customers["is_outlier"].to_numpy().mean() < 0.03
    assert sum(one.n_customers for one in found.segments) == 3_000


@pytest.mark.slow
@pytest.mark.parametrize(("method", "n_seeds"), [("kmeans", 10), ("gmm", 3), ("ward", 3)])
def test_the_right_number_is_chosen_in_nine_of_ten_seeds(method, n_seeds):
    right, aris = 0, []
    for seed in range(n_seeds):
        k = 3 + seed % 4
        table, truth = plant_segments(seed, k, n=2_000)
        space = learn_space(table, learn_preparation(table), rng=np.random.default_rng(0))
        placed = place_in_space(space, table)
        points = placed.coordinates[~placed.is_outlier]
        choice = choose_number(points, method, n_draws=6, k_max=8)
        right += choice.k == k
        if choice.k == k:
            real = truth >= 0
            group = cluster(points, method, k, seed=0).assign(placed.coordinates)[0]
            aris.append(adjusted_rand_score(truth[real], group[real]))
    assert right >= n_seeds - 1
    assert min(aris) > 0.85
    assert np.median(aris) > 0.95


def test_one_cloud_is_said_to_have_no_segments():
    table = pa.table({"customer_id": [str(i) for i in range(900)], **{
        f"x{j}": np.random.default_rng(j).normal(size=900) for j in range(4)}})  # fmt: skip
    found = segment_customers(table, method="kmeans", k_max=5)
    assert any("continuum" in doubt for doubt in found.doubts)
    assert any("single Gaussian" in doubt for doubt in found.doubts)


# -- the whole --------------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_and_placing_again_changes_nothing():
    table, _ = plant_segments(7, 3, n=600)
    first, second = (segment_customers(table, method="kmeans", k=3, seed=4) for _ in range(2))
    assert first.customers.equals(second.customers)
    assert first.profiles.equals(second.profiles)
    again = first.place(table.slice(100, 50))
    for name in ("segment", "is_outlier", "level_6"):
        assert again[name].to_pylist() == first.customers[name].slice(100, 50).to_pylist()


def test_new_customers_come_to_lie_with_their_segment_on_the_maps():
    table, truth = plant_segments(8, 3, n=1_600, outliers=0.0)
    found = segment_customers(table.slice(0, 800), method="kmeans", k=3)
    new, own = found.place(table.slice(800)), truth[800:]
    for axes in (("map_x", "map_y"), ("pca_x", "pca_y")):
        where = np.stack([new[name].to_numpy() for name in axes], axis=1)
        known = np.stack([found.customers[name].to_numpy() for name in axes], axis=1)
        centres = np.stack([known[truth[:800] == k].mean(axis=0) for k in range(3)])
        nearest = np.linalg.norm(where[:, None] - centres, axis=-1).argmin(axis=1)
        assert (nearest == own).mean() > 0.95


def test_too_few_customers_and_unknown_methods_are_refused():
    table, _ = plant_segments(7, 3, n=100)
    with pytest.raises(EventsError, match="too few"):
        segment_customers(table.slice(0, 20))
    with pytest.raises(EventsError, match="Did you mean 'kmeans'"):
        segment_customers(table, method="kmean", k=3)


# -- identity over refits ---------------------------------------------------------------------------------


@settings(max_examples=40)
@given(st.integers(0, 100_000), st.integers(2, 5))
def test_no_other_numbering_keeps_more(seed, k):
    rng = np.random.default_rng(seed)
    n = 200
    old = rng.integers(1, k + 1, n)
    new = np.where(rng.random(n) < 0.7, rng.permutation(k)[old - 1], rng.integers(0, k, n))
    ids = pa.array([f"c{i}" for i in range(n)])
    found = match_segments(ids, new, k, pa.table({"customer_id": ids, "segment": old}))

    def total(numbers):
        pairs = [
            (set(np.flatnonzero(new == g)), set(np.flatnonzero(old == number))) for g, number in enumerate(numbers)
        ]
        return sum(len(a & b) / max(len(a | b), 1) for a, b in pairs)

    known = [number if overlap is not None else 0 for number, overlap in zip(found.numbers, found.overlap, strict=True)]
    best = max(total(order) for order in permutations(range(1, k + 1)))
    given_up = sum(0.2 for number in known if number == 0)
    assert total(known) >= best - given_up - 1e-9
    assert len(set(found.numbers)) == k


def test_segments_keep_number_and_name_when_found_again_and_a_new_one_gets_a_new_number():
    table, _ = plant_segments(9, 4, n=1_200)
    first = segment_customers(table, method="kmeans", k=4)
    names = {one.number: one.name for one in first.segments}
    before = Before(first.customers.select(["customer_id", "segment"]), {n: f"our {n}" for n in names}, 11)
    again = segment_customers(table, method="kmeans", k=4, seed=5, before=before)
    assert again.match.moved_p < 0.05
    assert {one.number: one.name for one in again.segments} == {n: f"our {n}" for n in names}
    more = segment_customers(table, method="kmeans", k=5, before=before)
    assert sorted(one.number for one in more.segments) == [1, 2, 3, 4, 12]


# -- what sets them apart ---------------------------------------------------------------------------------


def test_differences_and_their_intervals_hold_what_was_planted():
    covered = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        group = np.repeat([0, 1], [80, 120])
        table = pa.table({"x": rng.normal(size=200) + np.where(group == 0, 0.8, 0.0)})
        preparation = learn_preparation(table)
        row = describe_segments(table, preparation, group, 2).to_pylist()[0]
        covered += row["difference_low"] < 0.8 < row["difference_high"]
    assert 89 <= covered <= 100


def test_rules_and_names_say_what_was_planted():
    rng = np.random.default_rng(0)
    spend, age = rng.uniform(0, 100, 900), rng.uniform(20, 80, 900)
    group = np.where(spend > 70, 2, np.where(age > 50, 1, 0))
    table = pa.table({"spend": spend, "age": age})
    preparation = learn_preparation(table)
    rules = find_rules(table, preparation, group, 3)
    assert rules.agreement_p > 0.97
    assert "spend > 7" in rules.text[2] or "spend > 69" in rules.text[2]
    assert "age" in rules.text[1]
    assert rules.precision_p[2] > 0.97
    names = name_segments(describe_segments(table, preparation, group, 3), 3)
    assert names[2] == "very high spend"
    assert "low" in names[0]
    assert "age" in names[0]


def test_rules_that_say_nothing_reach_no_more_than_the_largest_segment():
    rng = np.random.default_rng(1)
    table = pa.table({"a": rng.normal(size=800), "b": rng.normal(size=800)})
    rules = find_rules(table, learn_preparation(table), rng.choice(3, 800, p=[0.6, 0.2, 0.2]), 3)
    assert rules.agreement_p < rules.share_p + 0.05


# -- RFM and the life cycle -------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 12), min_size=5, max_size=60))
def test_scores_are_fifths_of_middle_ranks(values):
    scores = score_quintiles(np.array(values, float))
    middle = (pd.Series(values).rank() - 0.5) / len(values)
    assert scores.tolist() == (pd.cut(middle, [0, 0.2, 0.4, 0.6, 0.8, 1], right=False, labels=False) + 1).tolist()
    for value in set(values):
        assert len({s for s, v in zip(scores.tolist(), values, strict=True) if v == value}) == 1


def test_distinct_values_make_five_equal_fifths_and_recent_is_high():
    n = 100
    purchases = merge_days(pa.array([str(i) for i in range(n)]), np.arange(n), np.arange(n), np.arange(n) + 1.0)
    scored = score_rfm(trace_histories(purchases, 200))
    assert np.bincount(scored["recency"].to_numpy()).tolist() == [0, 20, 20, 20, 20, 20]
    assert scored["recency"].to_pylist()[-1] == 5
    assert scored["money"].to_pylist()[-1] == 5


def test_every_name_of_the_scheme_is_given():
    scores = np.array([(r, f, m) for r in range(1, 6) for f in range(1, 6) for m in range(1, 6)])
    names = name_rfm(*scores.T)
    assert {box[0] for box in BOXES} <= set(names)


def stage_by_hand(days, day, rule):
    """The rules as a person would follow them for a single customer, among whom the usual gap is ten days."""
    known = [d for d in days if d <= day]
    gaps = [b - a for a, b in pairwise(known)]
    own, back = [], None
    for j, gap in enumerate(gaps):
        then = max((sum(gaps[:j]) + 2 * 10) / (j + 2), 1)
        if gap > (rule.lost_days if rule.lost_days is not None else 4 * then):
            back = len(known) - (j + 1)
        else:
            own.append(gap)
    usual = max((sum(own) + 2 * 10) / (len(own) + 2), 1)
    lost = rule.lost_days if rule.lost_days is not None else 4 * usual
    silence = day - known[-1]
    if silence > lost:
        return "lost"
    if silence > min(2 * usual, 0.75 * lost):
        return "at risk"
    if back is not None and back <= 2:
        return "won back"
    return "loyal" if len(known) >= 4 else "activated" if len(known) >= 2 else "new"


@given(
    st.lists(st.integers(0, 300), min_size=1, max_size=8, unique=True),
    st.integers(0, 320),
    st.sampled_from([None, 45.0, 90.0]),
)
def test_stages_are_what_the_rules_give_by_hand(days, day, lost_days):
    days = sorted(days)
    day = max(day, days[0])
    rule = Rhythm(lost_days=lost_days)
    steady = 40  # so many others buy every ten days, so that the usual gap is ten
    who = np.r_[np.repeat(np.arange(1, steady + 1), 2), np.zeros(len(days), int)]
    when = np.r_[np.tile([-20, -10], steady), days].astype(int)
    purchases = merge_days(pa.array([str(i) for i in range(steady + 1)]), who, when, np.ones(len(who)))
    assert stage_customers(purchases, day, rule)["stage"][0].as_py() == stage_by_hand(days, day, rule)
