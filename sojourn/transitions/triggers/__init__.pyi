from .hazards import TRIGGERS as TRIGGERS
from .hazards import find_triggers as find_triggers

__all__ = ["TRIGGERS", "find_triggers"]
