from .environment import Environment as Environment
from .environment import Limits as Limits
from .live import Live as Live
from .log_writer import Route as Route
from .predictions import predict_customers as predict_customers
from .recovery import ACTIVE as ACTIVE
from .recovery import note_active as note_active
from .recovery import read_active as read_active
from .service import Overloaded as Overloaded
from .service import Request as Request
from .service import Service as Service
from .view import FIELDS as FIELDS

__all__ = [
    "ACTIVE",
    "FIELDS",
    "Environment",
    "Limits",
    "Live",
    "Overloaded",
    "Request",
    "Route",
    "Service",
    "note_active",
    "predict_customers",
    "read_active",
]
