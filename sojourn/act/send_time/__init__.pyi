from .check import ChannelCheck as ChannelCheck
from .check import Lift as Lift
from .check import SendTimes as SendTimes
from .check import find_send_times as find_send_times
from .sends import is_zone as is_zone

__all__ = ["ChannelCheck", "Lift", "SendTimes", "find_send_times", "is_zone"]
