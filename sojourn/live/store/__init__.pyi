from .calls import NO_INSTANT as NO_INSTANT
from .calls import SCHEMA as SCHEMA
from .calls import CallsColumns as CallsColumns
from .calls import decode_calls as decode_calls
from .calls import encode_calls as encode_calls
from .calls import encode_columns as encode_columns
from .calls import encode_table as encode_table
from .calls import read_table as read_table
from .changes import NOTHING as NOTHING
from .changes import Derived as Derived
from .changes import Forgotten as Forgotten
from .changes import Profile as Profile
from .changes import Quarantined as Quarantined
from .changes import StoredChange as StoredChange
from .changes import Wanted as Wanted
from .log import LogDamaged as LogDamaged
from .log import NewRecord as NewRecord
from .log import Record as Record
from .rows import Key as Key
from .store import Store as Store
from .store import open_store as open_store

__all__ = [
    "NOTHING",
    "NO_INSTANT",
    "SCHEMA",
    "CallsColumns",
    "Derived",
    "Forgotten",
    "Key",
    "LogDamaged",
    "NewRecord",
    "Profile",
    "Quarantined",
    "Record",
    "Store",
    "StoredChange",
    "Wanted",
    "decode_calls",
    "encode_calls",
    "encode_columns",
    "encode_table",
    "open_store",
    "read_table",
]
