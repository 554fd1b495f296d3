"""Make one event file of the Complete Journey tables: receipt lines, campaign mailings, coupon redemptions.

    python examples/completejourney/prepare.py ../shared/data/completejourney events.parquet

The tables give dates, not times, for mailings and redemptions. A mailing is put at 06:00 of the day its
campaign starts, before any shop opens, and a redemption at 12:00 of its day. The demographics are left out on
purpose: they are protected, and only an audit may look at them.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

MICROSECOND = pa.timestamp("us", tz="UTC")
HOUR_US = 3_600_000_000
MAILED_AT_HOUR, REDEEMED_AT_HOUR = 6, 12

COLUMNS = {
    "id": pa.string(),
    "kind": pa.string(),
    "household_id": pa.string(),
    "at": MICROSECOND,
    "basket_id": pa.string(),
    "store_id": pa.string(),
    "product_id": pa.string(),
    "department": pa.string(),
    "quantity": pa.float64(),
    "sales_value": pa.float64(),
    "retail_disc": pa.float64(),
    "coupon_disc": pa.float64(),
    "campaign_id": pa.string(),
    "campaign_type": pa.string(),
    "coupon_upc": pa.string(),
}


def prepare(folder: Path) -> pa.Table:
    """The events of all households in one table, sorted by time: kind is line, mailing or redemption."""
    parts = [read_lines(folder), read_mailings(folder), read_redemptions(folder)]
    events = pa.concat_tables([_complete(part) for part in parts])
    return events.sort_by([("at", "ascending"), ("id", "ascending")])


def read_lines(folder: Path) -> pa.Table:
    """A row per receipt line, with its department from the product table."""
    lines = pa.csv.read_csv(folder / "transactions_sample.csv.gz")
    products = pa.csv.read_csv(folder / "products.csv.gz").select(["product_id", "department"])
    products = products.set_column(0, "product_id", products["product_id"].cast(pa.int64()))
    numbered = lines.append_column("n", pa.array(range(lines.num_rows)))
    joined = numbered.join(products, "product_id", join_type="left outer").sort_by("n")
    joined = joined.append_column("at", _instants(joined["transaction_timestamp"], 0))
    return _name(joined.drop_columns(["n", "transaction_timestamp"]), "line")


def read_mailings(folder: Path) -> pa.Table:
    """A row per household and campaign, at the start of the campaign."""
    mailed = pa.csv.read_csv(folder / "campaigns.csv.gz")
    campaigns = pa.csv.read_csv(folder / "campaign_descriptions.csv.gz")
    joined = mailed.join(campaigns, "campaign_id").sort_by(
        [("campaign_id", "ascending"), ("household_id", "ascending")]
    )
    return _name(joined.append_column("at", _instants(joined["start_date"], MAILED_AT_HOUR)), "mailing")


def read_redemptions(folder: Path) -> pa.Table:
    """A row per coupon redeemed, with the type of its campaign."""
    redeemed = pa.csv.read_csv(folder / "coupon_redemptions.csv.gz")
    at = _instants(redeemed["redemption_date"], REDEEMED_AT_HOUR)
    return _name(redeemed.append_column("at", at), "redemption")


def _name(rows: pa.Table, kind: str) -> pa.Table:
    numbers = [f"{kind}-{number}" for number in range(rows.num_rows)]
    return rows.append_column("kind", pa.array([kind] * rows.num_rows)).append_column("id", pa.array(numbers))


def _instants(days: pa.ChunkedArray, hour: int) -> pa.ChunkedArray:
    at_us = pc.add(days.cast(pa.timestamp("us")).cast(pa.int64()), hour * HOUR_US)
    return at_us.cast(MICROSECOND)


def _complete(rows: pa.Table) -> pa.Table:
    """The rows with every column of COLUMNS, null where the kind has no such thing."""
    arrays = [
        rows[name].cast(unit) if name in rows.column_names else pa.nulls(rows.num_rows, unit)
        for name, unit in COLUMNS.items()
    ]
    return pa.Table.from_arrays(arrays, schema=pa.schema(list(COLUMNS.items())))


def main() -> None:
    """Read the folder given first, write the Parquet file given second."""
    if len(sys.argv) != 3:
        sys.exit("usage: python prepare.py FOLDER EVENTS.parquet")
    events = prepare(Path(sys.argv[1]))
    pa.parquet.write_table(events, sys.argv[2], compression="zstd")
    print(f"{events.num_rows:,} events written to {sys.argv[2]}")


if __name__ == "__main__":
    main()
