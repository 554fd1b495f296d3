from .audit import SCHEMA as SCHEMA
from .audit import audit_stability as audit_stability
from .judge import STALE_DAYS as STALE_DAYS
from .membership import audit_segments as audit_segments
from .membership import read_segments as read_segments
from .staleness import EXPORTS as EXPORTS
from .staleness import add_descriptions as add_descriptions
from .staleness import add_export as add_export
from .staleness import judge_staleness as judge_staleness
from .staleness import name_refit as name_refit

__all__ = [
    "EXPORTS",
    "SCHEMA",
    "STALE_DAYS",
    "add_descriptions",
    "add_export",
    "audit_segments",
    "audit_stability",
    "judge_staleness",
    "name_refit",
    "read_segments",
]
