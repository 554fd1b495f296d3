"""How segments go with protected attributes. These are never inputs; here they are looked at, and only here."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

UNKNOWN = "unknown"

AUDIT = pa.schema(
    [
        ("attribute", pa.string()),
        ("level", pa.string()),
        ("segment", pa.int64()),
        ("n_customers", pa.int64()),
        ("share_p", pa.float64()),
        ("share_all_p", pa.float64()),
        ("ratio", pa.float64()),
        ("association", pa.float64()),
    ]
)


def audit_segments(customers: pa.Table, traits: pa.Table, protected: Sequence[str]) -> pa.Table:
    """One row per protected attribute, its level and segment: ``attribute, level, segment, n_customers, share_p`` of the
    segment, ``share_all_p`` of all, ``ratio`` of the two, and ``association`` of attribute and segments.

    ``association`` is Cramér's V corrected for bias (Bergsma 2013, 10.1016/j.jkss.2012.10.002): 0 none, 1 complete.
    Unknown attributes are the level ``unknown``. Attributes that the traits do not have are left out.

    >>> ids = [str(i) for i in range(40)]
    >>> customers = pa.table({"customer_id": ids, "segment": [1] * 20 + [2] * 20})
    >>> traits = pa.table({"customer_id": ids, "gender": ["f"] * 20 + ["m"] * 20})
    >>> audit_segments(customers, traits, ["gender"]).to_pylist()[0]["association"].__round__(3)
    1.0
    """  # noqa: E501
    known = customers.filter(pc.is_valid(customers["segment"]))
    place = pc.index_in(
        known["customer_id"].cast(pa.string()), value_set=traits["customer_id"].combine_chunks().cast(pa.string())
    )
    numbers, segment = np.unique(known["segment"].to_numpy(), return_inverse=True)
    rows: list[dict[str, object]] = []
    for attribute in protected:
        if attribute not in traits.column_names:
            continue
        values = pc.fill_null(traits[attribute].combine_chunks().cast(pa.string()).take(place), UNKNOWN)
        coded = values.combine_chunks().dictionary_encode()
        counts = np.zeros((len(coded.dictionary), len(numbers)))
        np.add.at(counts, (coded.indices.to_numpy(), segment), 1)
        v = _associate(counts)
        share, share_all = counts / counts.sum(axis=0), counts.sum(axis=1) / counts.sum()
        rows += [
            {
                "attribute": attribute,
                "level": level,
                "segment": int(number),
                "n_customers": int(counts[i, j]),
                "share_p": float(share[i, j]),
                "share_all_p": float(share_all[i]),
                "ratio": float(share[i, j] / share_all[i]),
                "association": v,
            }
            for i, level in enumerate(coded.dictionary.to_pylist())
            for j, number in enumerate(numbers)
        ]
    return pa.Table.from_pylist(rows, schema=AUDIT)


def _associate(counts: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> float:
    n = counts.sum()
    r, c = counts.shape
    if min(r, c) < 2 or n < 2:
        return 0.0
    expected = np.outer(counts.sum(axis=1), counts.sum(axis=0)) / n
    phi = float((((counts - expected) ** 2) / expected).sum() / n)
    phi = max(0.0, phi - (r - 1) * (c - 1) / (n - 1))
    r, c = r - (r - 1) ** 2 / (n - 1), c - (c - 1) ** 2 / (n - 1)
    return float(min(1.0, np.sqrt(phi / (min(r, c) - 1))))
