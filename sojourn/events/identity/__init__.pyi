from .arrays import Column as Column
from .batch import IdPiece as IdPiece
from .batch import Links as Links
from .batch import find_distinct as find_distinct
from .batch import link_customers as link_customers
from .batch import merge_column as merge_column
from .batch import pair_ids as pair_ids
from .batch import pick_first as pick_first
from .batch import recode_identifiers as recode_identifiers
from .batch import spell_identifier as spell_identifier
from .graph import IdentityGraph as IdentityGraph
from .linking import Linked as Linked
from .linking import link_records as link_records

__all__ = [
    "Column",
    "IdPiece",
    "IdentityGraph",
    "Linked",
    "Links",
    "find_distinct",
    "link_customers",
    "link_records",
    "merge_column",
    "pair_ids",
    "pick_first",
    "recode_identifiers",
    "spell_identifier",
]
