from .hysteresis import MOVE_CUSTOMER as MOVE_CUSTOMER
from .kernel import decode as decode
from .kernel import find_steps as find_steps
from .kernel import group_rows as group_rows
from .kernel import predict_symbols as predict_symbols
from .kernel import score_codes as score_codes
from .kernel import smooth as smooth
from .log_odds import split as split
from .model import MISSING as MISSING
from .model import Channel as Channel
from .model import Fitted as Fitted
from .model import Model as Model
from .model import Prior as Prior
from .model import Sequences as Sequences
from .model import channel_logs as channel_logs
from .model import emission_table as emission_table
from .model import encode as encode
from .model import event_matrices as event_matrices
from .model import expect as expect
from .model import fit_em as fit_em
from .model import normalise as normalise
from .model import run_chunks as run_chunks
from .model import silence_matrices as silence_matrices
from .model import split_customers as split_customers
from .model import step_matrices as step_matrices
from .model import symbol_counts as symbol_counts
from .model import tick_matrices as tick_matrices
from .online import FIRST_OWN as FIRST_OWN
from .online import KEPT as KEPT
from .online import LAST_OWN as LAST_OWN
from .online import N_MEMORY as N_MEMORY
from .online import N_OWN as N_OWN
from .online import NEVER as NEVER
from .online import SEEN as SEEN
from .online import SEEN_DUE as SEEN_DUE
from .online import SEEN_SINCE as SEEN_SINCE
from .online import SEEN_STATE as SEEN_STATE
from .online import SEEN_TICKS as SEEN_TICKS
from .online import STEP_TICKS as STEP_TICKS
from .online import STEP_TOUCH as STEP_TOUCH
from .online import TOLD_AT as TOLD_AT
from .online import follow as follow
from .online import peek as peek
from .textbook import Textbook as Textbook
from .textbook import fit as fit
from .textbook import flat_prior as flat_prior
from .textbook import textbook_model as textbook_model

__all__ = [
    "FIRST_OWN",
    "KEPT",
    "LAST_OWN",
    "MISSING",
    "MOVE_CUSTOMER",
    "NEVER",
    "N_MEMORY",
    "N_OWN",
    "SEEN",
    "SEEN_DUE",
    "SEEN_SINCE",
    "SEEN_STATE",
    "SEEN_TICKS",
    "STEP_TICKS",
    "STEP_TOUCH",
    "TOLD_AT",
    "Channel",
    "Fitted",
    "Model",
    "Prior",
    "Sequences",
    "Textbook",
    "channel_logs",
    "decode",
    "emission_table",
    "encode",
    "event_matrices",
    "expect",
    "find_steps",
    "fit",
    "fit_em",
    "flat_prior",
    "follow",
    "group_rows",
    "normalise",
    "peek",
    "predict_symbols",
    "run_chunks",
    "score_codes",
    "silence_matrices",
    "smooth",
    "split",
    "split_customers",
    "step_matrices",
    "symbol_counts",
    "textbook_model",
    "tick_matrices",
]
