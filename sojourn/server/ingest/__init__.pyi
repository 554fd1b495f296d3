from .calls import BATCHES as BATCHES
from .calls import KINDS as KINDS
from .calls import PATHS as PATHS
from .calls import make_routes as make_routes
from .calls import make_taker as make_taker

__all__ = ["BATCHES", "KINDS", "PATHS", "make_routes", "make_taker"]
