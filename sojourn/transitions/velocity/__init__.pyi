from .changes import find_changes as find_changes
from .cohorts import compare_cohorts as compare_cohorts
from .cohorts import find_trends as find_trends
from .targets import MET as MET
from .targets import MISSED as MISSED
from .targets import OPEN as OPEN
from .targets import Standing as Standing
from .targets import find_standings as find_standings
from .weekly import count_risk as count_risk
from .weekly import draw_stays as draw_stays
from .weekly import track_velocity as track_velocity

__all__ = [
    "MET",
    "MISSED",
    "OPEN",
    "Standing",
    "compare_cohorts",
    "count_risk",
    "draw_stays",
    "find_changes",
    "find_standings",
    "find_trends",
    "track_velocity",
]
