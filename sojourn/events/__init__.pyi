from .columns import Columns as Columns
from .mapping import Places as Places
from .mapping import check_places as check_places
from .mapping import list_event_paths as list_event_paths
from .mapping import looks_like_segment as looks_like_segment
from .mapping import place_source as place_source
from .read import EventLog as EventLog
from .read import need_events as need_events
from .read import open_connection as open_connection
from .read import read_events as read_events
from .rows import read_times as read_times
from .values import GOOD as GOOD
from .values import read_texts as read_texts

__all__ = [
    "GOOD",
    "Columns",
    "EventLog",
    "Places",
    "check_places",
    "list_event_paths",
    "looks_like_segment",
    "need_events",
    "open_connection",
    "place_source",
    "read_events",
    "read_texts",
    "read_times",
]
