"""Send the calls of calls.json, then numbered ones, with a Python client as it is installed.

python send_python.py {segment,rudder} URL KEY N_MORE {gzip,plain}
"""

import json
import sys
from pathlib import Path

library, url, key, n_more, encoding = sys.argv[1:]
if library == "segment":
    from segment.analytics.client import Client
else:
    from rudderstack.analytics.client import Client

failed = []
client = Client(
    key,
    host=url,
    gzip=encoding == "gzip",
    upload_size=10,
    upload_interval=0.05,
    on_error=lambda error, batch: failed.append(str(error)),
)
NAMES = {"userId": "user_id", "anonymousId": "anonymous_id", "previousId": "previous_id", "groupId": "group_id"}
calls = json.loads(Path(__file__).with_name("calls.json").read_text(encoding="utf-8"))
calls += [{"type": "track", "userId": "u1", "event": "Step", "properties": {"n": 100 + i}} for i in range(int(n_more))]
for call in calls:
    kind = call.pop("type")
    getattr(client, kind)(**{NAMES.get(name, name): value for name, value in call.items()})
client.flush()
client.join()
sys.exit("; ".join(failed) if failed else 0)
