"""Make visits of raw Snowplow web events, by the rules of Snowplow's own web model that need more than one row.

    python examples/snowplow_web/prepare.py ../shared/data/event_specs/snowplow_web/source/snowplow_web_events.csv.gz \
        snowplow.parquet

Out go: events without a session; events that a device sent more than three days after they happened; further rows of
one `event_id` or one page view; what lies more than three days after its session began; sessions without a page view
or page ping. All events of a session get the cookie (`domain_userid`) of its first one, since some visitors change it.
"""

from __future__ import annotations

import sys
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet

VISITS = """
WITH events AS (
  SELECT *,
    json_extract_string(contexts_com_snowplowanalytics_snowplow_web_page_1_0_0, '$[0].id') AS page_view_id
  FROM read_csv($1, all_varchar = true)
  WHERE domain_sessionid IS NOT NULL
    AND dvce_sent_tstamp::TIMESTAMP <= dvce_created_tstamp::TIMESTAMP + INTERVAL 3 DAYS
  QUALIFY row_number() OVER (PARTITION BY event_id ORDER BY collector_tstamp, derived_tstamp) = 1
),
recent AS (
  SELECT *, first_value(domain_userid) OVER visit AS visitor_id
  FROM events
  WINDOW visit AS (PARTITION BY domain_sessionid ORDER BY collector_tstamp, derived_tstamp, event_id)
  QUALIFY collector_tstamp::TIMESTAMP <= min(collector_tstamp::TIMESTAMP) OVER visit + INTERVAL 3 DAYS
),
counted AS (
  SELECT *
  FROM recent
  WHERE event_name NOT IN ('page_view', 'page_ping') OR page_view_id IS NOT NULL
  QUALIFY event_name != 'page_view'
    OR row_number() OVER (PARTITION BY event_name, page_view_id ORDER BY derived_tstamp, event_id) = 1
)
SELECT event_id, event_name, derived_tstamp, domain_sessionid, visitor_id, user_id, page_view_id, page_urlpath,
  page_title, refr_medium, mkt_medium, br_lang
FROM counted
QUALIFY count(*) FILTER (event_name IN ('page_view', 'page_ping')) OVER (PARTITION BY domain_sessionid) > 0
ORDER BY derived_tstamp, event_id
"""


def prepare(file: Path) -> pa.Table:
    """The events of all visits, by time."""
    return duckdb.connect().sql(VISITS, params=[str(file)]).to_arrow_table()


def main() -> None:
    """Read the file given first, write the Parquet file given second."""
    if len(sys.argv) != 3:
        sys.exit("usage: python prepare.py SNOWPLOW_EVENTS.csv EVENTS.parquet")
    events = prepare(Path(sys.argv[1]))
    pa.parquet.write_table(events, sys.argv[2], compression="zstd")
    print(f"{events.num_rows:,} events written to {sys.argv[2]}")


if __name__ == "__main__":
    main()
