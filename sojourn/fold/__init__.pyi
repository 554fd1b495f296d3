from .batch import Batch as Batch
from .batch import Folded as Folded
from .batch import Observe as Observe
from .batch import fold_events as fold_events
from .batch import hash_sessions as hash_sessions
from .batch import make_batch as make_batch
from .batch import new_marks as new_marks
from .batch import order_events as order_events
from .batch import read_features as read_features
from .batch import read_marks as read_marks
from .batch import slice_events as slice_events
from .batch import tabulate_observed as tabulate_observed
from .batch import tabulate_ops as tabulate_ops
from .batch import take_events as take_events
from .cells import NOTHING as NOTHING
from .cells import SEGMENT as SEGMENT
from .cells import STATE as STATE
from .cells import STATE_P as STATE_P
from .cells import TRAIT as TRAIT
from .codec import VectorsError as VectorsError
from .codec import decode_vectors as decode_vectors
from .codec import encode_vectors as encode_vectors
from .codec import vectors_from_table as vectors_from_table
from .codec import vectors_to_table as vectors_to_table
from .completions import find_completions as find_completions
from .cuts import choose_cuts as choose_cuts
from .ids import IdTable as IdTable
from .ids import hash_strings as hash_strings
from .keys import KeySet as KeySet
from .keys import RecentKeys as RecentKeys
from .layout import Layout as Layout
from .layout import build_layout as build_layout
from .primitives import Event as Event
from .primitives import Pattern as Pattern
from .primitives import Setting as Setting
from .primitives import hash_text as hash_text
from .primitives import read_primitive as read_primitive
from .steps import CodedEvent as CodedEvent
from .steps import step as step

__all__ = [
    "NOTHING",
    "SEGMENT",
    "STATE",
    "STATE_P",
    "TRAIT",
    "Batch",
    "CodedEvent",
    "Event",
    "Folded",
    "IdTable",
    "KeySet",
    "Layout",
    "Observe",
    "Pattern",
    "RecentKeys",
    "Setting",
    "VectorsError",
    "build_layout",
    "choose_cuts",
    "decode_vectors",
    "encode_vectors",
    "find_completions",
    "fold_events",
    "hash_sessions",
    "hash_strings",
    "hash_text",
    "make_batch",
    "new_marks",
    "order_events",
    "read_features",
    "read_marks",
    "read_primitive",
    "slice_events",
    "step",
    "tabulate_observed",
    "tabulate_ops",
    "take_events",
    "vectors_from_table",
    "vectors_to_table",
]
