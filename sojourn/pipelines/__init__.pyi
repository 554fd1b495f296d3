from .challenger import Asked as Asked
from .names import list_substates as list_substates
from .names import name_substate as name_substate
from .names import show_names as show_names
from .release import Release as Release
from .release import draft_release as draft_release
from .release import read_release as read_release
from .results import ResultsFolder as ResultsFolder
from .start import init_project as init_project
from .tables import BadQuery as BadQuery
from .tables import BeingWritten as BeingWritten
from .tables import Replaced as Replaced
from .tables import UnknownTable as UnknownTable

__all__ = [
    "Asked",
    "BadQuery",
    "BeingWritten",
    "Release",
    "Replaced",
    "ResultsFolder",
    "UnknownTable",
    "draft_release",
    "init_project",
    "list_substates",
    "name_substate",
    "read_release",
    "show_names",
]
