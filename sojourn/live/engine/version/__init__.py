"""One version of playbook and model, and all that it derives from the log.

In: the records of the log, one by one. Out: an :class:`Outcome` for each (changes to publish, profiles, quarantined
calls), and the state of every customer, to be read. A version knows neither the log nor the HTTP side; what it
published before it reads back through :class:`StoredFacts`.
"""

from sojourn.live.engine.version.customers import LONG_AGO
from sojourn.live.engine.version.feed import DatedFact, Fact
from sojourn.live.engine.version.identities import CustomerIds
from sojourn.live.engine.version.in_use import Deployed, InUse, Refused, score
from sojourn.live.engine.version.intake import split_seq
from sojourn.live.engine.version.memberships import list_memberships
from sojourn.live.engine.version.outcome import Outcome
from sojourn.live.engine.version.protocols import Projection, StoredFacts
from sojourn.live.engine.version.publisher import DEPLOY
from sojourn.live.engine.version.steps import Inputs, StatesAt
from sojourn.live.engine.version.version import Version

__all__ = [
    "DEPLOY", "LONG_AGO", "CustomerIds", "DatedFact", "Deployed", "Fact", "InUse", "Inputs", "Outcome", "Projection",
    "Refused", "StatesAt", "StoredFacts", "Version", "list_memberships", "score", "split_seq",
]  # fmt: skip
