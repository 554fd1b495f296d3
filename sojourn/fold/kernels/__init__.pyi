from .audiences import BY_ALL as BY_ALL
from .audiences import BY_BELIEF as BY_BELIEF
from .audiences import BY_MOVE as BY_MOVE
from .audiences import BY_TIME as BY_TIME
from .audiences import BY_TRAIT as BY_TRAIT
from .audiences import evaluate as evaluate
from .events import find_unordered as find_unordered
from .events import fold as fold
from .events import list_marks as list_marks
from .ids import ARENA_FULL as ARENA_FULL
from .ids import CROWDED as CROWDED
from .ids import DONE as DONE
from .ids import copy_names as copy_names
from .ids import find_all as find_all
from .ids import hash_all as hash_all
from .ids import list_codes as list_codes
from .ids import list_places as list_places
from .ids import rebuild as rebuild
from .inputs import gather_inputs as gather_inputs
from .keys import add_all as add_all
from .keys import find_keys as find_keys
from .keys import move_some as move_some
from .members import list_members as list_members
from .past import follow_links as follow_links
from .past import link_events as link_events
from .past import reach_back as reach_back
from .patterns import grow_patterns as grow_patterns
from .patterns import match_pattern as match_pattern
from .read import read_rows as read_rows
from .scores import add_columns as add_columns
from .scores import add_tables as add_tables
from .scores import add_trees as add_trees
from .scores import look_up as look_up
from .scores import say_chance as say_chance

__all__ = [
    "ARENA_FULL",
    "BY_ALL",
    "BY_BELIEF",
    "BY_MOVE",
    "BY_TIME",
    "BY_TRAIT",
    "CROWDED",
    "DONE",
    "add_all",
    "add_columns",
    "add_tables",
    "add_trees",
    "copy_names",
    "evaluate",
    "find_all",
    "find_keys",
    "find_unordered",
    "fold",
    "follow_links",
    "gather_inputs",
    "grow_patterns",
    "hash_all",
    "link_events",
    "list_codes",
    "list_marks",
    "list_members",
    "list_places",
    "look_up",
    "match_pattern",
    "move_some",
    "reach_back",
    "read_rows",
    "rebuild",
    "say_chance",
]
