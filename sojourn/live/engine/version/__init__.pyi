from .customers import LONG_AGO as LONG_AGO
from .feed import DatedFact as DatedFact
from .feed import Fact as Fact
from .identities import CustomerIds as CustomerIds
from .in_use import Deployed as Deployed
from .in_use import InUse as InUse
from .in_use import Refused as Refused
from .in_use import score as score
from .intake import split_seq as split_seq
from .memberships import list_memberships as list_memberships
from .outcome import Outcome as Outcome
from .protocols import Projection as Projection
from .protocols import StoredFacts as StoredFacts
from .publisher import DEPLOY as DEPLOY
from .steps import Inputs as Inputs
from .steps import StatesAt as StatesAt
from .version import Version as Version

__all__ = [
    "DEPLOY",
    "LONG_AGO",
    "CustomerIds",
    "DatedFact",
    "Deployed",
    "Fact",
    "InUse",
    "Inputs",
    "Outcome",
    "Projection",
    "Refused",
    "StatesAt",
    "StoredFacts",
    "Version",
    "list_memberships",
    "score",
    "split_seq",
]
