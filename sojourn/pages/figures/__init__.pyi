from .predictions import draw_calibration as draw_calibration
from .predictions import draw_candidates as draw_candidates
from .predictions import draw_inputs as draw_inputs
from .predictions import draw_profit as draw_profit
from .predictions import draw_ranking as draw_ranking
from .predictions import draw_signals as draw_signals
from .predictions import draw_state_inputs as draw_state_inputs
from .predictions import draw_warning as draw_warning
from .predictions import draw_weights as draw_weights
from .report import count_now_and_before as count_now_and_before
from .report import draw_all as draw_all
from .segments import draw_cells as draw_cells
from .segments import draw_choice as draw_choice
from .segments import draw_flows as draw_flows
from .segments import draw_map as draw_map
from .segments import draw_numbers as draw_numbers
from .segments import draw_profiles as draw_profiles
from .segments import draw_relevance as draw_relevance
from .segments import draw_tree as draw_tree
from .stability import draw_split as draw_split
from .stability import draw_turnover as draw_turnover
from .style import COLORS as COLORS
from .style import color_states as color_states

__all__ = [
    "COLORS",
    "color_states",
    "count_now_and_before",
    "draw_all",
    "draw_calibration",
    "draw_candidates",
    "draw_cells",
    "draw_choice",
    "draw_flows",
    "draw_inputs",
    "draw_map",
    "draw_numbers",
    "draw_profiles",
    "draw_profit",
    "draw_ranking",
    "draw_relevance",
    "draw_signals",
    "draw_split",
    "draw_state_inputs",
    "draw_tree",
    "draw_turnover",
    "draw_warning",
    "draw_weights",
]
