from .measure import Streams as Streams
from .measure import measure_moments as measure_moments
from .measure import read_streams as read_streams
from .mine import WINDOWS_S as WINDOWS_S
from .mine import propose_moments as propose_moments
from .mine import write_moments as write_moments

__all__ = ["WINDOWS_S", "Streams", "measure_moments", "propose_moments", "read_streams", "write_moments"]
