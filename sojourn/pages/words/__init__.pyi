from .numbers import DASH as DASH
from .numbers import is_sure as is_sure
from .numbers import measure_surety as measure_surety
from .numbers import say_amount as say_amount
from .numbers import say_change as say_change
from .numbers import say_count as say_count
from .numbers import say_date as say_date
from .numbers import say_days as say_days
from .numbers import say_difference as say_difference
from .numbers import say_duration as say_duration
from .numbers import say_error as say_error
from .numbers import say_estimate as say_estimate
from .numbers import say_exact as say_exact
from .numbers import say_few as say_few
from .numbers import say_gain as say_gain
from .numbers import say_instant as say_instant
from .numbers import say_integer as say_integer
from .numbers import say_interval as say_interval
from .numbers import say_list as say_list
from .numbers import say_loss as say_loss
from .numbers import say_number as say_number
from .numbers import say_or_dash as say_or_dash
from .numbers import say_part as say_part
from .numbers import say_points as say_points
from .numbers import say_probability as say_probability
from .numbers import say_range as say_range
from .numbers import say_score as say_score
from .numbers import say_share as say_share
from .numbers import say_times as say_times
from .numbers import say_window as say_window
from .plan import write_plan as write_plan
from .predictions import say_added as say_added
from .predictions import say_drift as say_drift
from .predictions import say_foresight as say_foresight
from .predictions import say_price as say_price
from .predictions import say_warning as say_warning
from .segments import MENU as MENU
from .segments import NOTHING as NOTHING
from .segments import find_telling_cells as find_telling_cells
from .segments import say_audit as say_audit
from .segments import say_cell as say_cell
from .segments import say_hybrid as say_hybrid
from .segments import say_relevance as say_relevance
from .segments import say_segment_standing as say_segment_standing
from .segments import say_staleness as say_staleness
from .states import find_marks as find_marks
from .states import say_leaving as say_leaving
from .states import say_mark as say_mark
from .states import say_state as say_state
from .states import say_what_to_watch as say_what_to_watch
from .states import strength_of as strength_of
from .texts import plain as plain
from .texts import shorten as shorten
from .transitions import find_medians as find_medians
from .transitions import find_signals as find_signals
from .transitions import find_sure_journeys as find_sure_journeys
from .transitions import find_sure_moments as find_sure_moments
from .transitions import find_sure_triggers as find_sure_triggers
from .transitions import find_telling as find_telling
from .transitions import say_journey as say_journey
from .transitions import say_moments as say_moments
from .transitions import say_proposed as say_proposed
from .transitions import say_signal as say_signal
from .transitions import say_trigger as say_trigger
from .types import Colors as Colors
from .types import Row as Row
from .types import Words as Words
from .value import find_sure_values as find_sure_values
from .value import say_growth as say_growth
from .value import say_growths as say_growths
from .value import say_value as say_value
from .value import say_values as say_values
from .velocity import find_pace_changes as find_pace_changes
from .velocity import say_cohorts as say_cohorts
from .velocity import say_pace as say_pace
from .velocity import say_pace_change as say_pace_change
from .velocity import say_rates as say_rates
from .velocity import say_standing as say_standing
from .velocity import say_target as say_target
from .velocity import say_verdict as say_verdict

__all__ = [
    "DASH",
    "MENU",
    "NOTHING",
    "Colors",
    "Row",
    "Words",
    "find_marks",
    "find_medians",
    "find_pace_changes",
    "find_signals",
    "find_sure_journeys",
    "find_sure_moments",
    "find_sure_triggers",
    "find_sure_values",
    "find_telling",
    "find_telling_cells",
    "is_sure",
    "measure_surety",
    "plain",
    "say_added",
    "say_amount",
    "say_audit",
    "say_cell",
    "say_change",
    "say_cohorts",
    "say_count",
    "say_date",
    "say_days",
    "say_difference",
    "say_drift",
    "say_duration",
    "say_error",
    "say_estimate",
    "say_exact",
    "say_few",
    "say_foresight",
    "say_gain",
    "say_growth",
    "say_growths",
    "say_hybrid",
    "say_instant",
    "say_integer",
    "say_interval",
    "say_journey",
    "say_leaving",
    "say_list",
    "say_loss",
    "say_mark",
    "say_moments",
    "say_number",
    "say_or_dash",
    "say_pace",
    "say_pace_change",
    "say_part",
    "say_points",
    "say_price",
    "say_probability",
    "say_proposed",
    "say_range",
    "say_rates",
    "say_relevance",
    "say_score",
    "say_segment_standing",
    "say_share",
    "say_signal",
    "say_staleness",
    "say_standing",
    "say_state",
    "say_target",
    "say_times",
    "say_trigger",
    "say_value",
    "say_values",
    "say_verdict",
    "say_warning",
    "say_what_to_watch",
    "say_window",
    "shorten",
    "strength_of",
    "write_plan",
]
