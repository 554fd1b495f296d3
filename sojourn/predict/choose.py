"""Which model to deploy: candidates compared on rows they have not seen, the most readable of the best taken."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

import numpy as np
from sklearn.model_selection import StratifiedKFold

from sojourn.errors import EventsError, Problem
from sojourn.frames import F8, I8, Bools
from sojourn.predict.candidates import Candidate, list_candidates
from sojourn.predict.models import score_rows
from sojourn.predict.scores import Scores, fit_platt, score_p, to_p

Folds = Sequence[tuple[I8, I8]]

LEAST_OF_EACH = 20
N_FOLDS = 5


@dataclass(frozen=True, eq=False)
class Tried:
    """One candidate on the folds: means of its scores, their standard errors, and what it said of each test row.

    ``why_not`` in words where it was not tried. ``log_odds`` are calibrated, each fold by a line fitted on the others.
    """

    candidate: Candidate
    scores: Scores | None = None
    se_log_loss: float = float("nan")
    se_auc: float = float("nan")
    seconds: float = 0.0
    why_not: str | None = None
    folds: tuple[Scores, ...] = ()
    log_odds: F8 = field(default_factory=lambda: np.empty(0))
    raw: F8 = field(default_factory=lambda: np.empty(0))

    @property
    def name(self) -> str:
        """The candidate's name."""
        return self.candidate.name


@dataclass(frozen=True, eq=False)
class Choice:
    """All candidates tried, which one is best and which is deployed.

    ``deployed`` is the most readable whose log loss is within one standard error of the best one's; ``test`` are the
    rows that were tested (each once), ``happened`` what happened there.
    """

    tried: tuple[Tried, ...]
    best: str
    deployed: str
    test: I8
    happened: Bools

    def __getitem__(self, name: str) -> Tried:
        return next(t for t in self.tried if t.name == name)


def plain_folds(y: I8, seed: int, n_folds: int = N_FOLDS) -> Folds:
    """Five folds, the label spread evenly over them. For tables without time."""
    split = StratifiedKFold(n_folds, shuffle=True, random_state=seed)
    return [(train, test) for train, test in split.split(np.zeros((len(y), 1)), y)]


def time_folds(group: I8, until: I8, at: I8, n_folds: int = N_FOLDS, *, seed: int) -> Folds:
    """Folds that respect time and people: tested are rows of the last instant, trained on those whose label was over.

    ``group`` is the customer of each row, ``at`` its instant, ``until`` the end of its label. The customers are split
    in five; each part is tested with what was learned from the other customers at instants whose labels ended at or
    before the test instant. So no model sees the future, nor the customer that it is tested on.

    >>> folds = time_folds(np.array([0, 1, 0, 1]), np.array([5, 5, 9, 9]), np.array([0, 0, 5, 5]), 2, seed=0)
    >>> sorted((train.tolist(), test.tolist()) for train, test in folds)
    [([0], [3]), ([1], [2])]
    """
    last = int(at.max())
    part = np.random.default_rng(seed).permutation(int(group.max()) + 1) % n_folds
    known, asked = until <= last, at == last
    return [
        (np.flatnonzero(known & (part[group] != k)), np.flatnonzero(asked & (part[group] == k))) for k in range(n_folds)
    ]


def compare_candidates(
    x: F8,
    y: Bools,
    folds: Folds,
    *,
    candidates: Sequence[Candidate] | None = None,
    budget_s: float | None = None,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
    clock: Callable[[], float] = monotonic,
) -> Choice:
    """Every candidate on every fold, and the choice among them.

    A candidate whose turn comes after ``budget_s`` seconds is not tried, and says so; the first always is. Raises
    EventsError where a fold has fewer than twenty rows with or without the outcome to learn from, or lacks one in test.
    """
    _check_folds(y, folds)
    options = list_candidates() if candidates is None else tuple(candidates)
    test = np.concatenate([rows for _, rows in folds])
    began, tried = clock(), []
    for k, candidate in enumerate(options):
        if k and budget_s is not None and clock() - began > budget_s:
            tried.append(Tried(candidate, why_not=f"not tried: the budget of {budget_s:.3g} s was used up"))
            continue
        start = clock()
        raw = [score_rows(candidate.fit(x[a], y[a].astype(np.int64), seed), x[b])[:, 0] for a, b in folds]
        tried.append(judge(candidate, raw, [y[b] for _, b in folds], clock() - start))
        if progress:
            progress(k + 1, len(options))
    done = [t for t in tried if t.scores is not None]
    best = min(done, key=lambda t: t.scores.log_loss if t.scores else np.inf)
    assert best.scores is not None
    limit = best.scores.log_loss + best.se_log_loss
    near = [t for t in done if t.scores and t.scores.log_loss <= limit]
    deployed = min(near, key=lambda t: t.candidate.rank)
    return Choice(tuple(tried), best.name, deployed.name, test, y[test])


def judge(candidate: Candidate, raw: Sequence[F8], happened: Sequence[Bools], seconds: float = 0.0) -> Tried:
    """The scores of what a candidate said of each fold, calibrated by a line fitted on the other folds."""
    said = []
    for k in range(len(raw)):
        others = [j for j in range(len(raw)) if j != k]
        slope, shift = fit_platt(
            np.concatenate([raw[j] for j in others]), np.concatenate([happened[j] for j in others])
        )
        said.append(slope * raw[k] + shift)
    scores = [score_p(to_p(s), h) for s, h in zip(said, happened, strict=True)]
    table = np.array([[s.log_loss, s.auc, s.brier, s.calibration_error, s.accuracy] for s in scores])
    error = table.std(axis=0, ddof=1) / np.sqrt(len(scores))
    whole = score_p(to_p(np.concatenate(said)), np.concatenate(happened))  # ten groups need all rows
    mean = table.mean(axis=0)
    return Tried(
        candidate,
        Scores(float(mean[0]), float(mean[1]), float(mean[2]), whole.calibration_error, float(mean[4])),
        float(error[0]),
        float(error[1]),
        seconds,
        None,
        tuple(scores),
        np.concatenate(said),
        np.concatenate(raw),
    )


def _check_folds(y: Bools, folds: Folds) -> None:
    for train, test in folds:
        for part, least, what in ((train, LEAST_OF_EACH, "to learn from"), (test, 2, "to test on")):
            n_yes = int(y[part].sum())
            if min(n_yes, len(part) - n_yes) < least:
                found = f"{n_yes:,} of {len(part):,} rows {what} have the outcome"
                raise EventsError(Problem("label", f"{found}; at least {least} with and {least} without are needed"))


def price_of_reading(choice: Choice) -> dict[str, Any]:
    """What it costs to be able to read the model: the best glass box beside the best black box.

    ``auc_price`` and ``accuracy_price`` are what the black box has more, ``log_loss_price`` what it has less, each with
    the standard error of the difference over the folds (``…_se``); ``is_within`` says whether the glass box's log loss
    is within one standard error of the black box's. None where one of the two was not tried.
    """
    done = [t for t in choice.tried if t.scores is not None]

    def best(is_glass: bool) -> Tried | None:
        found = [t for t in done if t.candidate.is_glass == is_glass]
        return min(found, key=lambda t: t.scores.log_loss if t.scores else np.inf) if found else None

    glass, black = best(True), best(False)
    if glass is None or black is None or glass.scores is None or black.scores is None:
        return {"glass": glass.name if glass else None, "black": black.name if black else None}
    price: dict[str, Any] = {"glass": glass.name, "black": black.name}
    for measure, sign in (("auc", 1), ("accuracy", 1), ("log_loss", -1)):
        gaps = sign * np.array(
            [getattr(b, measure) - getattr(g, measure) for g, b in zip(glass.folds, black.folds, strict=True)]
        )
        price[f"{measure}_glass"] = getattr(glass.scores, measure)
        price[f"{measure}_black"] = getattr(black.scores, measure)
        price[f"{measure}_price"] = float(gaps.mean())
        price[f"{measure}_se"] = float(gaps.std(ddof=1) / np.sqrt(len(gaps)))
    price["is_within"] = bool(glass.scores.log_loss <= black.scores.log_loss + black.se_log_loss)
    return price
