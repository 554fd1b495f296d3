from .as_of import Past as Past
from .as_of import StatesFit as StatesFit
from .as_of import features_at as features_at
from .as_of import fit_at as fit_at
from .as_of import fit_until as fit_until
from .as_of import has_labels as has_labels
from .as_of import read_labels as read_labels
from .as_of import read_past as read_past
from .as_of import set_boundaries as set_boundaries
from .as_of import to_instant as to_instant
from .channels import label_symbols as label_symbols
from .channels import own_classes as own_classes
from .channels import plan_channels as plan_channels
from .fit import StateFit as StateFit
from .fit import fit_states as fit_states
from .model import StateModel as StateModel
from .model import draft_state_model as draft_state_model
from .model import read_state_model as read_state_model
from .model_file import describe_model as describe_model
from .model_file import load_model as load_model
from .prior import LABELS as LABELS
from .published import RAW as RAW
from .published import Calm as Calm
from .published import Thresholds as Thresholds
from .published import infer_states as infer_states
from .published import measure_calm as measure_calm
from .published import posterior_now as posterior_now
from .published import tune_thresholds as tune_thresholds
from .reasons import OddsTables as OddsTables
from .reasons import find_flip as find_flip
from .reasons import find_runner_up as find_runner_up
from .reasons import list_reasons as list_reasons
from .reasons import make_tables as make_tables
from .reasons import split_odds as split_odds
from .rows import Rows as Rows
from .rows import arrange_rows as arrange_rows
from .rows import draw_customers as draw_customers
from .rows import restart_rows as restart_rows
from .rows import take_customers as take_customers
from .rows import take_rows as take_rows
from .substates import EXTRA as EXTRA
from .substates import MOST_EXTRA as MOST_EXTRA
from .substates import Named as Named
from .substates import Substate as Substate
from .substates import Trial as Trial
from .substates import describe_substates as describe_substates
from .substates import discover_substates as discover_substates
from .substates import dump_named as dump_named
from .substates import find_names as find_names
from .substates import keep_substates as keep_substates
from .substates import load_named as load_named
from .substates import match_named as match_named
from .substates import miss_names as miss_names
from .substates import read_emission as read_emission
from .tables import customers_table as customers_table
from .tables import fingerprints_table as fingerprints_table
from .tables import history_batch as history_batch
from .tables import last_seen_table as last_seen_table
from .tables import transitions_table as transitions_table
from .traces import trace_customers as trace_customers

__all__ = [
    "EXTRA",
    "LABELS",
    "MOST_EXTRA",
    "RAW",
    "Calm",
    "Named",
    "OddsTables",
    "Past",
    "Rows",
    "StateFit",
    "StateModel",
    "StatesFit",
    "Substate",
    "Thresholds",
    "Trial",
    "arrange_rows",
    "customers_table",
    "describe_model",
    "describe_substates",
    "discover_substates",
    "draft_state_model",
    "draw_customers",
    "dump_named",
    "features_at",
    "find_flip",
    "find_names",
    "find_runner_up",
    "fingerprints_table",
    "fit_at",
    "fit_states",
    "fit_until",
    "has_labels",
    "history_batch",
    "infer_states",
    "keep_substates",
    "label_symbols",
    "last_seen_table",
    "list_reasons",
    "load_model",
    "load_named",
    "make_tables",
    "match_named",
    "measure_calm",
    "miss_names",
    "own_classes",
    "plan_channels",
    "posterior_now",
    "read_emission",
    "read_labels",
    "read_past",
    "read_state_model",
    "restart_rows",
    "set_boundaries",
    "split_odds",
    "take_customers",
    "take_rows",
    "to_instant",
    "trace_customers",
    "transitions_table",
    "tune_thresholds",
]
