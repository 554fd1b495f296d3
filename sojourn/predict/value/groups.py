"""Value by state, segment or any other group, and how it grew with moves between groups: tables from tables."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa


def value_by_group(values: pa.Table, groups: pa.Table, by: str) -> pa.Table:
    """Value per group, largest first: ``n_customers``, ``mean_value`` with ``mean_low``/``mean_high`` (95 %, of the
    mean over customers), ``total_value``, ``value_share`` and ``mean_alive_p``.

    ``values`` is :attr:`sojourn.value.Values.customers`; ``groups`` any table with ``customer_id`` and the column
    ``by``, as ``results.customers`` has ``state``. Customers without a group are
    under null; those without value are not counted.

    >>> values = pa.table({"customer_id": ["a", "b", "c"], "value": [9.0, 1.0, 2.0], "alive_p": [1.0, 0.5, 0.7]})
    >>> states = pa.table({"customer_id": ["a", "b", "c"], "state": ["loyal", "lost", "lost"]})
    >>> value_by_group(values, states, "state").select(["state", "total_value", "value_share"]).to_pylist()[0]
    {'state': 'loyal', 'total_value': 9.0, 'value_share': 0.75}
    """
    joined = values.select(["customer_id", "value", "alive_p"]).join(
        groups.select(["customer_id", by]), "customer_id", join_type="left outer"
    )
    column = joined[by].cast(pa.string()).combine_chunks().dictionary_encode(null_encoding="encode")
    place, names = column.indices.to_numpy(), column.dictionary
    value = joined["value"].to_numpy()
    alive = joined["alive_p"].cast(pa.float64()).to_numpy(zero_copy_only=False)
    n = np.bincount(place, minlength=len(names))
    total = np.bincount(place, value, len(names))
    mean = total / n
    spread = np.bincount(place, (value - mean[place]) ** 2, len(names)) / np.maximum(n - 1, 1)
    half = np.where(n > 1, 1.96 * np.sqrt(spread / n), np.nan)
    found: dict[str, Any] = {
        by: names,
        "n_customers": n,
        "mean_value": mean,
        "mean_low": pa.array(mean - half, from_pandas=True),
        "mean_high": pa.array(mean + half, from_pandas=True),
        "total_value": total,
        "value_share": total / max(float(total.sum()), 1e-300),
        "mean_alive_p": pa.array(np.bincount(place, alive, len(names)) / n, from_pandas=True),
    }
    return pa.table(found).take(pa.array(np.argsort(-total, kind="stable")))


def value_growth(before: pa.Table, after: pa.Table, by: str) -> pa.Table:
    """How value grew with each move between groups: ``from``, ``to``, ``n_customers``, mean value before and after,
    ``mean_growth`` with ``growth_low``/``growth_high`` (95 %), largest growth in total first.

    Both tables have ``customer_id``, ``value`` and ``by``; customers in both count. It describes and proves no cause:
    who moves is not drawn by lot.

    >>> before = pa.table({"customer_id": ["a", "b"], "value": [1.0, 5.0], "state": ["new", "loyal"]})
    >>> after = pa.table({"customer_id": ["a", "b"], "value": [4.0, 5.0], "state": ["loyal", "loyal"]})
    >>> value_growth(before, after, "state").select(["from", "to", "mean_growth"]).to_pylist()[0]
    {'from': 'new', 'to': 'loyal', 'mean_growth': 3.0}
    """
    left = before.select(["customer_id", "value", by]).rename_columns(["customer_id", "then", "from"])
    right = after.select(["customer_id", "value", by]).rename_columns(["customer_id", "now", "to"])
    both = left.join(right, "customer_id", join_type="inner")
    both = both.append_column("growth", pa.array(both["now"].to_numpy() - both["then"].to_numpy()))
    for name in ("from", "to"):
        both = both.set_column(both.schema.get_field_index(name), name, both[name].cast(pa.string()))
    grown = both.group_by(["from", "to"]).aggregate(
        [("growth", "count"), ("then", "mean"), ("now", "mean"), ("growth", "mean"), ("growth", "stddev")]
    )
    n, mean = grown["growth_count"].to_numpy(), grown["growth_mean"].to_numpy()
    half = np.where(n > 1, 1.96 * grown["growth_stddev"].to_numpy() / np.sqrt(np.maximum(n - 1, 1)), np.nan)
    found: dict[str, Any] = {
        "from": grown["from"],
        "to": grown["to"],
        "n_customers": n,
        "mean_before": grown["then_mean"],
        "mean_after": grown["now_mean"],
        "mean_growth": mean,
        "growth_low": pa.array(mean - half, from_pandas=True),
        "growth_high": pa.array(mean + half, from_pandas=True),
    }
    return pa.table(found).take(pa.array(np.argsort(-mean * n, kind="stable")))
