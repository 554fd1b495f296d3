from .dwell import DWELL_ABOUT as DWELL_ABOUT
from .dwell import DWELL_MISSING as DWELL_MISSING
from .dwell import VELOCITY_ABOUT as VELOCITY_ABOUT
from .dwell import VELOCITY_MISSING as VELOCITY_MISSING
from .dwell import say_dwell_finding as say_dwell_finding
from .dwell import say_velocity_finding as say_velocity_finding
from .flow import FLOW_ABOUT as FLOW_ABOUT
from .flow import FLOW_MISSING as FLOW_MISSING
from .flow import MATRIX_ABOUT as MATRIX_ABOUT
from .flow import MATRIX_MISSING as MATRIX_MISSING
from .flow import say_block as say_block
from .flow import say_flow as say_flow
from .flow import say_flow_finding as say_flow_finding
from .flow import say_matrix as say_matrix
from .journeys import CHANNELS_ABOUT as CHANNELS_ABOUT
from .journeys import CHANNELS_MISSING as CHANNELS_MISSING
from .journeys import JOURNEYS_ABOUT as JOURNEYS_ABOUT
from .journeys import PATHS_ABOUT as PATHS_ABOUT
from .journeys import PATHS_MISSING as PATHS_MISSING
from .journeys import say_cell as say_cell
from .journeys import say_channels_finding as say_channels_finding
from .journeys import say_dot as say_dot
from .journeys import say_journeys_finding as say_journeys_finding
from .journeys import say_no_journeys as say_no_journeys
from .journeys import say_path as say_path
from .journeys import say_paths_finding as say_paths_finding
from .moments import MOMENTS_ABOUT as MOMENTS_ABOUT
from .moments import MOMENTS_MISSING as MOMENTS_MISSING
from .moments import MOMENTS_UNDEFINED as MOMENTS_UNDEFINED
from .moments import say_moment_dot as say_moment_dot
from .moments import say_surest_moment as say_surest_moment
from .people import EXAMPLE_ABOUT as EXAMPLE_ABOUT
from .people import EXAMPLE_MISSING as EXAMPLE_MISSING
from .people import MARKS_ABOUT as MARKS_ABOUT
from .people import MARKS_MISSING as MARKS_MISSING
from .people import STATES_ABOUT as STATES_ABOUT
from .people import STATES_MISSING as STATES_MISSING
from .people import say_event as say_event
from .people import say_example_finding as say_example_finding
from .people import say_marks_finding as say_marks_finding
from .people import say_states as say_states
from .predictions import CALIBRATION_ABOUT as CALIBRATION_ABOUT
from .predictions import CANDIDATES_ABOUT as CANDIDATES_ABOUT
from .predictions import INPUTS_ABOUT as INPUTS_ABOUT
from .predictions import PROFIT_ABOUT as PROFIT_ABOUT
from .predictions import RANKING_ABOUT as RANKING_ABOUT
from .predictions import SIGNALS_ABOUT as SIGNALS_ABOUT
from .predictions import SIGNALS_MISSING as SIGNALS_MISSING
from .predictions import STATE_ABOUT as STATE_ABOUT
from .predictions import WARNING_ABOUT as WARNING_ABOUT
from .predictions import WEIGHTS_ABOUT as WEIGHTS_ABOUT
from .predictions import WEIGHTS_MISSING as WEIGHTS_MISSING
from .predictions import say_calibration as say_calibration
from .predictions import say_candidates as say_candidates
from .predictions import say_early as say_early
from .predictions import say_first_sign as say_first_sign
from .predictions import say_profit as say_profit
from .predictions import say_ranking as say_ranking
from .predictions import say_state_ahead as say_state_ahead
from .predictions import say_weights as say_weights
from .quality import CLASSES_ABOUT as CLASSES_ABOUT
from .quality import CLASSES_MISSING as CLASSES_MISSING
from .quality import FIT_ABOUT as FIT_ABOUT
from .quality import FIT_MISSING as FIT_MISSING
from .quality import HYSTERESIS_ABOUT as HYSTERESIS_ABOUT
from .quality import HYSTERESIS_MISSING as HYSTERESIS_MISSING
from .quality import ROWS_ABOUT as ROWS_ABOUT
from .quality import ROWS_MISSING as ROWS_MISSING
from .quality import say_chosen as say_chosen
from .quality import say_classes as say_classes
from .quality import say_fit as say_fit
from .quality import say_point as say_point
from .quality import say_rows as say_rows
from .segments import CELLS_ABOUT as CELLS_ABOUT
from .segments import CHOICE_ABOUT as CHOICE_ABOUT
from .segments import FLOWS_ABOUT as FLOWS_ABOUT
from .segments import FLOWS_MISSING as FLOWS_MISSING
from .segments import HYBRID_ABOUT as HYBRID_ABOUT
from .segments import MAP_ABOUT as MAP_ABOUT
from .segments import NUMBERS_ABOUT as NUMBERS_ABOUT
from .segments import PROFILE_ABOUT as PROFILE_ABOUT
from .segments import PROFILE_MISSING as PROFILE_MISSING
from .segments import TREE_ABOUT as TREE_ABOUT
from .segments import WORTH_ABOUT as WORTH_ABOUT
from .segments import say_changed as say_changed
from .segments import say_choice as say_choice
from .segments import say_crossing as say_crossing
from .segments import say_crossings as say_crossings
from .segments import say_hover as say_hover
from .segments import say_map as say_map
from .segments import say_no_segments as say_no_segments
from .segments import say_numbers as say_numbers
from .segments import say_profile as say_profile
from .segments import say_strongest as say_strongest
from .segments import say_tree as say_tree
from .stability import SPLIT_ABOUT as SPLIT_ABOUT
from .stability import SPLIT_MISSING as SPLIT_MISSING
from .stability import TURNOVER_ABOUT as TURNOVER_ABOUT
from .stability import TURNOVER_MISSING as TURNOVER_MISSING
from .stability import say_split as say_split
from .stability import say_stale as say_stale
from .triggers import KINDS as KINDS
from .triggers import PRECEDES_ABOUT as PRECEDES_ABOUT
from .triggers import PRECEDES_MISSING as PRECEDES_MISSING
from .triggers import TRIGGERS_ABOUT as TRIGGERS_ABOUT
from .triggers import TRIGGERS_MISSING as TRIGGERS_MISSING
from .triggers import say_finding as say_finding
from .triggers import say_precursor as say_precursor
from .triggers import say_precursor_finding as say_precursor_finding
from .triggers import say_trigger_hover as say_trigger_hover
from .values import GROWTH_ABOUT as GROWTH_ABOUT
from .values import GROWTH_MISSING as GROWTH_MISSING
from .values import VALUES_ABOUT as VALUES_ABOUT
from .values import VALUES_MISSING as VALUES_MISSING
from .values import say_most_growth as say_most_growth
from .values import say_most_valuable as say_most_valuable
from .velocity import TRACKED_ABOUT as TRACKED_ABOUT
from .velocity import TRACKED_MISSING as TRACKED_MISSING
from .velocity import say_tracked as say_tracked

__all__ = [
    "CALIBRATION_ABOUT",
    "CANDIDATES_ABOUT",
    "CELLS_ABOUT",
    "CHANNELS_ABOUT",
    "CHANNELS_MISSING",
    "CHOICE_ABOUT",
    "CLASSES_ABOUT",
    "CLASSES_MISSING",
    "DWELL_ABOUT",
    "DWELL_MISSING",
    "EXAMPLE_ABOUT",
    "EXAMPLE_MISSING",
    "FIT_ABOUT",
    "FIT_MISSING",
    "FLOWS_ABOUT",
    "FLOWS_MISSING",
    "FLOW_ABOUT",
    "FLOW_MISSING",
    "GROWTH_ABOUT",
    "GROWTH_MISSING",
    "HYBRID_ABOUT",
    "HYSTERESIS_ABOUT",
    "HYSTERESIS_MISSING",
    "INPUTS_ABOUT",
    "JOURNEYS_ABOUT",
    "KINDS",
    "MAP_ABOUT",
    "MARKS_ABOUT",
    "MARKS_MISSING",
    "MATRIX_ABOUT",
    "MATRIX_MISSING",
    "MOMENTS_ABOUT",
    "MOMENTS_MISSING",
    "MOMENTS_UNDEFINED",
    "NUMBERS_ABOUT",
    "PATHS_ABOUT",
    "PATHS_MISSING",
    "PRECEDES_ABOUT",
    "PRECEDES_MISSING",
    "PROFILE_ABOUT",
    "PROFILE_MISSING",
    "PROFIT_ABOUT",
    "RANKING_ABOUT",
    "ROWS_ABOUT",
    "ROWS_MISSING",
    "SIGNALS_ABOUT",
    "SIGNALS_MISSING",
    "SPLIT_ABOUT",
    "SPLIT_MISSING",
    "STATES_ABOUT",
    "STATES_MISSING",
    "STATE_ABOUT",
    "TRACKED_ABOUT",
    "TRACKED_MISSING",
    "TREE_ABOUT",
    "TRIGGERS_ABOUT",
    "TRIGGERS_MISSING",
    "TURNOVER_ABOUT",
    "TURNOVER_MISSING",
    "VALUES_ABOUT",
    "VALUES_MISSING",
    "VELOCITY_ABOUT",
    "VELOCITY_MISSING",
    "WARNING_ABOUT",
    "WEIGHTS_ABOUT",
    "WEIGHTS_MISSING",
    "WORTH_ABOUT",
    "say_block",
    "say_calibration",
    "say_candidates",
    "say_cell",
    "say_changed",
    "say_channels_finding",
    "say_choice",
    "say_chosen",
    "say_classes",
    "say_crossing",
    "say_crossings",
    "say_dot",
    "say_dwell_finding",
    "say_early",
    "say_event",
    "say_example_finding",
    "say_finding",
    "say_first_sign",
    "say_fit",
    "say_flow",
    "say_flow_finding",
    "say_hover",
    "say_journeys_finding",
    "say_map",
    "say_marks_finding",
    "say_matrix",
    "say_moment_dot",
    "say_most_growth",
    "say_most_valuable",
    "say_no_journeys",
    "say_no_segments",
    "say_numbers",
    "say_path",
    "say_paths_finding",
    "say_point",
    "say_precursor",
    "say_precursor_finding",
    "say_profile",
    "say_profit",
    "say_ranking",
    "say_rows",
    "say_split",
    "say_stale",
    "say_state_ahead",
    "say_states",
    "say_strongest",
    "say_surest_moment",
    "say_tracked",
    "say_tree",
    "say_trigger_hover",
    "say_velocity_finding",
    "say_weights",
]
