from .ahead import Ahead as Ahead
from .ahead import look_ahead as look_ahead
from .candidates import Candidate as Candidate
from .choose import time_folds as time_folds
from .compiled import Chance as Chance
from .compiled import Score as Score
from .compiled import Split as Split
from .compiled import compile_chance as compile_chance
from .compiled import compile_score as compile_score
from .compiled import compile_split as compile_split
from .drift import describe_shares as describe_shares
from .drift import measure_drift as measure_drift
from .early_warning import EarlyWarning as EarlyWarning
from .early_warning import warn_early as warn_early
from .encoding import Encoding as Encoding
from .estimators import K_MAX as K_MAX
from .estimators import LEAST as LEAST
from .estimators import draw_seed as draw_seed
from .foresight import Foresight as Foresight
from .foresight import measure_foresight as measure_foresight
from .from_events import INPUTS as INPUTS
from .from_events import Cuts as Cuts
from .from_events import Foreseen as Foreseen
from .from_events import choose_instants as choose_instants
from .from_events import draw_events as draw_events
from .from_events import fit_states_until as fit_states_until
from .from_events import input_table as input_table
from .from_events import label_of as label_of
from .from_events import predict_outcomes as predict_outcomes
from .from_events import rows_of as rows_of
from .leaks import find_future_knowledge as find_future_knowledge
from .learning import HABITS as HABITS
from .learning import WINDOWS_DAYS as WINDOWS_DAYS
from .learning import find_outcome as find_outcome
from .learning import hash_meaning as hash_meaning
from .learning import horizon_of as horizon_of
from .learning import make_learning_table as make_learning_table
from .learning import own_events as own_events
from .learning import read_features_at as read_features_at
from .models import model_from_json as model_from_json
from .models import model_to_json as model_to_json
from .models import score_rows as score_rows
from .models import split_score as split_score
from .next import NextState as NextState
from .next import predict_next_state as predict_next_state
from .next_purchase import NextPurchase as NextPurchase
from .next_purchase import predict_next_time as predict_next_time
from .outcome import Prediction as Prediction
from .outcome import describe_prediction as describe_prediction
from .outcome import describe_reader as describe_reader
from .outcome import learn_outcome as learn_outcome
from .outcome import load_reader as load_reader
from .outcome import predict_table as predict_table
from .reasons import N_REASONS as N_REASONS
from .reasons import Reader as Reader
from .registry import Card as Card
from .registry import Decision as Decision
from .registry import add_model as add_model
from .registry import find_champion as find_champion
from .registry import list_cards as list_cards
from .registry import list_decisions as list_decisions
from .registry import list_names as list_names
from .registry import lock_models as lock_models
from .registry import put_into_use as put_into_use
from .registry import read_model as read_model
from .registry import write_card as write_card
from .retrain import Gap as Gap
from .retrain import Verdict as Verdict
from .retrain import decide as decide
from .retrain import join_protected as join_protected
from .retrain import measure_gain as measure_gain
from .retrain import measure_gaps as measure_gaps
from .scores import score_p as score_p
from .scores import to_p as to_p

__all__ = [
    "HABITS",
    "INPUTS",
    "K_MAX",
    "LEAST",
    "N_REASONS",
    "WINDOWS_DAYS",
    "Ahead",
    "Candidate",
    "Card",
    "Chance",
    "Cuts",
    "Decision",
    "EarlyWarning",
    "Encoding",
    "Foreseen",
    "Foresight",
    "Gap",
    "NextPurchase",
    "NextState",
    "Prediction",
    "Reader",
    "Score",
    "Split",
    "Verdict",
    "add_model",
    "choose_instants",
    "compile_chance",
    "compile_score",
    "compile_split",
    "decide",
    "describe_prediction",
    "describe_reader",
    "describe_shares",
    "draw_events",
    "draw_seed",
    "find_champion",
    "find_future_knowledge",
    "find_outcome",
    "fit_states_until",
    "hash_meaning",
    "horizon_of",
    "input_table",
    "join_protected",
    "label_of",
    "learn_outcome",
    "list_cards",
    "list_decisions",
    "list_names",
    "load_reader",
    "lock_models",
    "look_ahead",
    "make_learning_table",
    "measure_drift",
    "measure_foresight",
    "measure_gain",
    "measure_gaps",
    "model_from_json",
    "model_to_json",
    "own_events",
    "predict_next_state",
    "predict_next_time",
    "predict_outcomes",
    "predict_table",
    "put_into_use",
    "read_features_at",
    "read_model",
    "rows_of",
    "score_p",
    "score_rows",
    "split_score",
    "time_folds",
    "to_p",
    "warn_early",
    "write_card",
]
