from .cluster import METHODS as METHODS
from .find import Before as Before
from .find import Segment as Segment
from .grid import HYBRID as HYBRID
from .grid import cross_segments as cross_segments
from .grid import read_purchases as read_purchases
from .hybrid import cross_states as cross_states
from .hybrid import flow_between_cells as flow_between_cells
from .recipes import LIFECYCLE as LIFECYCLE
from .relevance import RANDOM as RANDOM
from .relevance import SEGMENTS as SEGMENTS
from .study import Study as Study
from .study import study_segments as study_segments

__all__ = [
    "HYBRID",
    "LIFECYCLE",
    "METHODS",
    "RANDOM",
    "SEGMENTS",
    "Before",
    "Segment",
    "Study",
    "cross_segments",
    "cross_states",
    "flow_between_cells",
    "read_purchases",
    "study_segments",
]
