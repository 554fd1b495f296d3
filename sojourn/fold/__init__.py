"""The fold: a customer's events, one after the other, into a vector from which every feature is read.

Nothing here loads Numba until events are folded.
"""

from sojourn.fold.batch import (
    Batch,
    Folded,
    Observe,
    fold_events,
    make_batch,
    order_events,
    read_features,
    slice_events,
    take_events,
)
from sojourn.fold.codec import VectorsError, decode_vectors, encode_vectors, vectors_from_table, vectors_to_table
from sojourn.fold.cuts import choose_cuts
from sojourn.fold.ids import IdTable, hash_strings
from sojourn.fold.layout import Layout, build_layout
from sojourn.fold.steps import CodedEvent, step

__all__ = [
    "Batch", "CodedEvent", "Folded", "IdTable", "Layout", "Observe", "VectorsError",
    "build_layout", "choose_cuts", "decode_vectors", "encode_vectors", "fold_events", "hash_strings", "make_batch",
    "order_events", "read_features", "slice_events", "step", "take_events", "vectors_from_table", "vectors_to_table",
]  # fmt: skip
