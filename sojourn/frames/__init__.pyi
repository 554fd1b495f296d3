from .duck import connect as connect
from .duck import run_query as run_query
from .files import copy_beside as copy_beside
from .files import open_output as open_output
from .files import open_parquet as open_parquet
from .files import read_history as read_history
from .files import read_plain as read_plain
from .files import write_alone as write_alone
from .files import write_json as write_json
from .files import write_table as write_table
from .instants import DAY_S as DAY_S
from .instants import DAY_US as DAY_US
from .instants import MONDAY_US as MONDAY_US
from .instants import WEEK_US as WEEK_US
from .instants import instant_us as instant_us
from .instants import now_us as now_us
from .instants import show_instant as show_instant
from .instants import show_second as show_second
from .plain_values import plain as plain
from .plugins import Place as Place
from .plugins import find_plugins as find_plugins
from .plugins import load_plugin as load_plugin
from .plugins import load_plugins as load_plugins
from .plugins import read_constant as read_constant
from .schemas import CLASS as CLASS
from .schemas import HISTORY as HISTORY
from .schemas import INSTANT as INSTANT
from .schemas import NAME as NAME
from .schemas import OTHER as OTHER
from .schemas import QUARANTINE as QUARANTINE
from .schemas import REASONS as REASONS
from .schemas import TRANSITIONS as TRANSITIONS
from .schemas import customers_schema as customers_schema
from .schemas import events_schema as events_schema
from .text_codes import Coded as Coded
from .text_codes import Codes as Codes
from .text_codes import code_texts as code_texts
from .text_codes import join_coded as join_coded
from .text_codes import join_names as join_names
from .text_codes import recode as recode
from .threads import limit_libraries as limit_libraries
from .types import F8 as F8
from .types import I8 as I8
from .types import Bools as Bools
from .types import Progress as Progress
from .types import Rows as Rows

__all__ = [
    "CLASS",
    "DAY_S",
    "DAY_US",
    "F8",
    "HISTORY",
    "I8",
    "INSTANT",
    "MONDAY_US",
    "NAME",
    "OTHER",
    "QUARANTINE",
    "REASONS",
    "TRANSITIONS",
    "WEEK_US",
    "Bools",
    "Coded",
    "Codes",
    "Place",
    "Progress",
    "Rows",
    "code_texts",
    "connect",
    "copy_beside",
    "customers_schema",
    "events_schema",
    "find_plugins",
    "instant_us",
    "join_coded",
    "join_names",
    "limit_libraries",
    "load_plugin",
    "load_plugins",
    "now_us",
    "open_output",
    "open_parquet",
    "plain",
    "read_constant",
    "read_history",
    "read_plain",
    "recode",
    "run_query",
    "show_instant",
    "show_second",
    "write_alone",
    "write_json",
    "write_table",
]
