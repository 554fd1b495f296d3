from .ahead import Ahead as Ahead
from .challenger import Asked as Asked
from .names import list_substates as list_substates
from .names import name_substate as name_substate
from .names import show_names as show_names
from .release import Release as Release
from .release import draft_release as draft_release
from .release import read_release as read_release
from .results import ResultsFolder as ResultsFolder
from .start import init_project as init_project
from .summary import count_states as count_states
from .summary import find_median_stays as find_median_stays
from .summary import list_top_moves as list_top_moves
from .summary import summarise_run as summarise_run
from .tables import BadQuery as BadQuery
from .tables import BeingWritten as BeingWritten
from .tables import Replaced as Replaced
from .tables import UnknownTable as UnknownTable

__all__ = [
    "Ahead",
    "Asked",
    "BadQuery",
    "BeingWritten",
    "Release",
    "Replaced",
    "ResultsFolder",
    "UnknownTable",
    "count_states",
    "draft_release",
    "find_median_stays",
    "init_project",
    "list_substates",
    "list_top_moves",
    "name_substate",
    "read_release",
    "show_names",
    "summarise_run",
]
