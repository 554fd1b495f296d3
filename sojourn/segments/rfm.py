"""Recency, frequency and monetary value: scores from 1 to 5, and the segments that the field names by them.

Scores are quintiles (Hughes 1994, Strategic Database Marketing). Names and their boxes follow the table that the rfm
package of R documents (https://rfm.rsquaredacademy.com); where boxes overlap, the narrower one comes first here.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from scipy.stats import rankdata

from sojourn.frames import F8, I8
from sojourn.predict.value import Histories

QUINTILES = 5
OTHERS = "others"

BOXES: tuple[tuple[str, tuple[int, int], tuple[int, int], tuple[int, int]], ...] = (
    ("champions", (4, 5), (4, 5), (4, 5)),
    ("cannot lose them", (1, 1), (4, 5), (4, 5)),
    ("new customers", (4, 5), (1, 1), (1, 1)),
    ("promising", (3, 4), (1, 1), (1, 1)),
    ("loyal customers", (3, 5), (3, 5), (3, 5)),
    ("potential loyalists", (3, 5), (1, 3), (1, 3)),
    ("need attention", (2, 3), (2, 3), (2, 3)),
    ("about to sleep", (2, 3), (1, 2), (1, 2)),
    ("at risk", (1, 2), (2, 5), (2, 5)),
    ("lost", (1, 2), (1, 2), (1, 2)),
)
"""Names with the scores of recency, frequency and money that they stand for, both ends included; first match counts."""


def score_quintiles(values: F8) -> I8:
    """Scores from 1 (lowest fifth) to 5; equal values get the same score, that of the middle of their ranks.

    So a value that three of five customers share takes up several fifths, and some scores are not given at all.

    >>> score_quintiles(np.array([1.0, 1.0, 1.0, 2.0, 9.0])).tolist()
    [2, 2, 2, 4, 5]
    """
    middle = (rankdata(values) - 0.5) / max(len(values), 1)
    return np.asarray(np.clip(np.floor(middle * QUINTILES).astype(np.int64) + 1, 1, QUINTILES))


def score_rfm(known: Histories) -> pa.Table:
    """One row per customer who has bought: ``customer_id, silence_days`` since the last purchase, ``n_purchases,
    total_value``, the scores ``recency, frequency, money`` from 1 to 5 (5: bought last, most often, spent most),
    ``rfm`` as one number (555 is best) and ``rfm_segment``.

    Where no purchase has a value, money is scored by the number of purchases.
    """
    silence, n = known.age_days - known.recency_days, known.n_repeat + 1
    total = np.nan_to_num(known.mean_value) * known.n_valued
    recency, frequency = score_quintiles(-silence), score_quintiles(n)
    money = score_quintiles(total) if known.n_valued.any() else frequency
    return pa.table(
        {
            "customer_id": known.names.take(pa.array(known.customer)),
            "silence_days": silence,
            "n_purchases": n.astype(np.int64),
            "total_value": total,
            "recency": recency,
            "frequency": frequency,
            "money": money,
            "rfm": 100 * recency + 10 * frequency + money,
            "rfm_segment": pa.array(name_rfm(recency, frequency, money)),
        }
    )


def name_rfm(recency: I8, frequency: I8, money: I8) -> list[str]:
    """The name of each customer's box, :data:`OTHERS` where there is none.

    >>> name_rfm(np.array([5, 1, 5]), np.array([5, 5, 1]), np.array([5, 5, 5]))
    ['champions', 'cannot lose them', 'others']
    """
    found = np.full(len(recency), OTHERS, object)
    for name, *box in reversed(BOXES):
        inside = np.ones(len(recency), bool)
        for scores, (low, high) in zip((recency, frequency, money), box, strict=True):
            inside &= (scores >= low) & (scores <= high)
        found[inside] = name
    return list(found)
