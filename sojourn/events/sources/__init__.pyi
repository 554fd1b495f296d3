from .chunks import JSON_COLUMN as JSON_COLUMN
from .chunks import Chunk as Chunk
from .chunks import Flags as Flags
from .chunks import Integers as Integers
from .chunks import Source as Source
from .files import explain_json as explain_json
from .open import open_sources as open_sources
from .text import explain_utf8 as explain_utf8

__all__ = ["JSON_COLUMN", "Chunk", "Flags", "Integers", "Source", "explain_json", "explain_utf8", "open_sources"]
