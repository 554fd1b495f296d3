"""Learns a sentiment model from labelled texts, and compares it with the lexicon."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from scipy.sparse import csr_matrix, hstack
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import roc_auc_score

from sojourn.errors import Problem, SojournError
from sojourn.frames import F8
from sojourn.playbook.text.lexicon import Polarity, clean_text
from sojourn.playbook.text.model import SentimentModel, list_terms, read_lexicon
from sojourn.playbook.text.sentiment import score_text

LEAST_LABELS = 200
"""Labelled texts below which the lexicon alone is the better guess."""


_C = 10.0  # inverse strength of the penalty, by cross-validation on review sentences
_ALPHA = 1.0  # strength of the penalty for ratings
_N_FOLDS = 10
_LEAST_OF_LANGUAGE = 50
_MOST_TERMS = 50_000


def train_sentiment(texts: Sequence[str], labels: Sequence[float], *, seed: int = 0) -> SentimentModel:
    """The model of labelled texts: labels of two values (logistic regression) or ratings of more (ridge regression).

    Of two labels the greater is the favourable one. Terms are weighted by TF-IDF; the lexicon's scores are two more
    inputs. ``evaluation`` compares both on the same ten folds, each predicted by a model that has not seen it.
    Raises SojournError for fewer than :data:`LEAST_LABELS` texts, and for labels that are all alike.

    >>> texts = [f"item {i} was {'great' if i % 2 else 'broken'}" for i in range(200)]
    >>> model = train_sentiment(texts, [i % 2 for i in range(200)])
    >>> model.kind, model.predict("a great item", "en") > 0.5, model.evaluation["accuracy"]
    ('labels', True, 1.0)
    """
    if len(texts) != len(labels):
        raise SojournError(Problem("labels", f"{len(labels):,} labels for {len(texts):,} texts"))
    kept = [i for i, text in enumerate(texts) if text and text.strip() and math.isfinite(labels[i])]
    plain = [clean_text(texts[i]) for i in kept]
    y = np.array([labels[i] for i in kept], np.float64)
    values = np.unique(y)
    if len(y) < LEAST_LABELS:
        what = f"{len(y):,} labelled texts; it takes {LEAST_LABELS} to do better than the lexicon, which needs none"
        raise SojournError(Problem("labels", what))
    if len(values) < 2:
        raise SojournError(Problem("labels", f"all of them are {values[0]:g}; there is nothing to tell apart"))
    told = [score_text(texts[i]).language for i in kept]
    says = [read_lexicon(text, language) for text, language in zip(plain, told, strict=True)]
    middle = 0.0 if values[0] < 0 else float(values[0] + values[-1]) / 2.0
    scale = (middle, float(max(values[-1] - middle, middle - values[0])))
    if len(values) == 2:
        y, scale = (y == values[1]).astype(np.float64), (0.0, 1.0)
        if min(y.sum(), (1 - y).sum()) < _N_FOLDS:
            raise SojournError(Problem("labels", f"fewer than {_N_FOLDS} texts have one of the two labels"))
    kind = "labels" if len(values) == 2 else "ratings"
    counts = Counter(language for language in told if language)
    languages = tuple(sorted(language for language, n in counts.items() if n >= _LEAST_OF_LANGUAGE))
    evaluation = _evaluate(kind, plain, says, y, np.random.default_rng(seed))
    return _fit(kind, plain, says, y, scale=scale, languages=languages, evaluation=evaluation)


def _fit(
    kind: str,
    plain: Sequence[str],
    says: Sequence[Polarity],
    y: F8,
    *,
    scale: tuple[float, float] = (0.0, 1.0),
    languages: tuple[str, ...] = (),
    evaluation: Mapping[str, float] | None = None,
) -> SentimentModel:

    vectorizer = TfidfVectorizer(analyzer=list_terms, sublinear_tf=True, max_features=_MOST_TERMS)
    lexicon = np.array([(s.compound, s.balance) for s in says])
    inputs = csr_matrix(hstack([vectorizer.fit_transform(plain), lexicon]))
    is_labels = kind == "labels"
    regression = LogisticRegression(C=_C, max_iter=1_000) if is_labels else Ridge(alpha=_ALPHA, solver="sparse_cg")
    regression.fit(inputs, y)
    weights = np.ravel(regression.coef_).tolist()
    terms = vectorizer.get_feature_names_out().tolist()
    return SentimentModel(
        kind=kind,
        terms=dict(zip(terms, zip(vectorizer.idf_.tolist(), weights[:-2], strict=True), strict=True)),
        lexicon=(weights[-2], weights[-1]),
        intercept=float(np.ravel(regression.intercept_)[0]),
        middle=scale[0],
        half=scale[1],
        languages=languages,
        n_texts=len(plain),
        evaluation=evaluation or {},
    )


def _evaluate(
    kind: str, plain: Sequence[str], says: Sequence[Polarity], y: F8, rng: np.random.Generator
) -> dict[str, float]:
    """How well texts are told by models that have not seen them, and by the lexicon."""
    fold = rng.permutation(len(y)) % _N_FOLDS
    found = np.zeros(len(y))
    for k in range(_N_FOLDS):
        seen, unseen = np.flatnonzero(fold != k).tolist(), np.flatnonzero(fold == k).tolist()
        model = _fit(kind, [plain[i] for i in seen], [says[i] for i in seen], y[seen])
        found[unseen] = [model.add_up(plain[i], says[i]) for i in unseen]
    lexicon = np.array([s.compound for s in says])
    if kind == "labels":
        return compare_labels(found, y) | {f"lexicon_{k}": v for k, v in compare_labels(lexicon, y).items()}
    return {"correlation": correlate(found, y), "lexicon_correlation": correlate(lexicon, y)}


def compare_labels(scores: F8, y: F8) -> dict[str, float]:
    """The share of labels (0 or 1) that the sign of a score tells, and the area under the ROC curve.

    A score of nothing counts as unfavourable.

    >>> compare_labels(np.array([0.9, -0.2, 0.1, 0.0]), np.array([1, 0, 0, 0]))
    {'accuracy': 0.75, 'auc': 1.0}
    """
    is_both = 0 < y.sum() < len(y)
    auc = float(roc_auc_score(y, scores)) if is_both else math.nan
    return {"accuracy": float(np.mean((scores > 0) == (y > 0.5))), "auc": auc}


def correlate(scores: F8, ratings: F8) -> float:
    """Pearson's correlation; NaN where one of them never changes.

    >>> correlate(np.array([0.0, 1.0]), np.array([2.0, 5.0]))
    1.0
    """
    if len(scores) < 2 or np.ptp(scores) == 0 or np.ptp(ratings) == 0:
        return math.nan
    return round(float(np.corrcoef(scores, ratings)[0, 1]), 12)
