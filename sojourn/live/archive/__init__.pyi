from .archive import compact_log as compact_log
from .archive import drop_days as drop_days
from .archive import erase_calls as erase_calls
from .archive import read_records as read_records
from .archive import rewrite_commands as rewrite_commands

__all__ = ["compact_log", "drop_days", "erase_calls", "read_records", "rewrite_commands"]
