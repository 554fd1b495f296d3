"""What scoring a text costs, beside VADER alone, and how well scores agree with people.

Run: python benchmarks/sentiment.py [--data DIR] [--repeats 3]
Data: 4,200 tweets with human ratings and 3 × 1,000 labelled sentences, from ``$SOJOURN_DATA/sentiment``. Least CPU time
of the repeats, one after the other in this process. The reference is the library's own score of the same texts.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
from collections.abc import Callable
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np

from sojourn.playbook.text import sentiment
from sojourn.playbook.text.language import find_language
from sojourn.playbook.text.lexicon import measure_polarity
from sojourn.playbook.text.sentiment import score_text, score_texts
from sojourn.playbook.text.train import compare_labels, correlate, train_sentiment

SOURCES = ("amazon_cells_labelled.txt", "imdb_labelled.txt.gz", "yelp_labelled.txt")


def read_lines(path: Path) -> list[str]:
    raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return [line for line in raw.decode("utf-8").split("\n") if line.strip()]


def time_best(work: Callable[[], Any], repeats: int) -> float:
    """Least CPU seconds of the repeats."""
    seconds = []
    for _ in range(repeats):
        start = process_time()
        work()
        seconds.append(process_time() - start)
    return min(seconds)


def score_fresh(texts: list[str], model: Any = None) -> list[float]:
    sentiment._kept.clear()
    return score_texts(texts, model)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("SOJOURN_DATA", "../shared/data")))
    parser.add_argument("--repeats", type=int, default=3)
    chosen = parser.parse_args()
    folder = chosen.data / "sentiment"
    tweets = [line.split("\t") for line in read_lines(folder / "tweets_GroundTruth.txt.gz")]
    texts, ratings = [row[2] for row in tweets], np.array([float(row[1]) for row in tweets])
    model = train_sentiment(texts, ratings.tolist())
    measure_polarity("warm up")
    works: dict[str, Callable[[], Any]] = {
        "VADER alone": lambda: [measure_polarity(text) for text in texts],
        "language alone": lambda: [find_language(text) for text in texts],
        "score, lexicon": lambda: score_fresh(texts),
        "score, learned model": lambda: score_fresh(texts, model),
        "score, text seen before": lambda: score_texts(texts),
    }
    score_texts(texts)
    costs = {name: time_best(work, chosen.repeats) / len(texts) * 1e6 for name, work in works.items()}
    print("| what | µs per text | ratio to VADER alone |\n|---|---|---|")
    for name, cost in costs.items():
        print(f"| {name} | {cost:.1f} | {cost / costs['VADER alone']:.3f} |")
    raw = np.array([measure_polarity(text).compound for text in texts])
    scores = np.array([score_text(text).score for text in texts])
    known = np.isfinite(scores)
    agreement = {
        "VADER alone": correlate(raw, ratings),
        "score": correlate(scores[known], ratings[known]),
        "scored_share": float(known.mean()),
        "learned, ten folds": model.evaluation["correlation"],
    }
    print("\n| tweets: correlation with ratings | |\n|---|---|")
    for name, value in agreement.items():
        print(f"| {name} | {value:.3f} |")
    print(
        "\n| sentences | scored | lexicon | learned, ten folds | lexicon AUC | learned AUC |\n|---|---|---|---|---|---|"
    )
    sources = {}
    for name in SOURCES:
        rows = [line.rsplit("\t", 1) for line in read_lines(folder / name)]
        said, labels = [row[0] for row in rows], np.array([float(row[1]) for row in rows])
        found = np.array(score_texts(said))
        plain = compare_labels(np.nan_to_num(found), labels)["accuracy"]
        learned = train_sentiment(said, labels.tolist()).evaluation
        sources[name] = {"scored": float(np.isfinite(found).mean()), "lexicon": plain, **learned}
        print(
            f"| {name.split('_')[0]} | {sources[name]['scored']:.1%} | {plain:.3f} | {learned['accuracy']:.3f} "
            f"| {learned['lexicon_auc']:.3f} | {learned['auc']:.3f} |"
        )
    print(json.dumps({"us_per_text": costs, "tweets": agreement, "sentences": sources}))


if __name__ == "__main__":
    main()
