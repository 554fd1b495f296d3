from .send import Target as Target
from .send import parse_speed as parse_speed
from .send import replay as replay

__all__ = ["Target", "parse_speed", "replay"]
