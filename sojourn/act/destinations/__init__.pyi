from .delivery import Delivery as Delivery
from .port import KINDS as KINDS
from .port import Destination as Destination
from .port import Sender as Sender
from .port import Sent as Sent
from .port import list_kinds as list_kinds
from .routing import route_changes as route_changes

__all__ = ["KINDS", "Delivery", "Destination", "Sender", "Sent", "list_kinds", "route_changes"]
