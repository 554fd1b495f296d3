from .docs_page import render_docs as render_docs
from .openapi import describe_api as describe_api
from .routes import CUSTOMERS as CUSTOMERS
from .routes import Parts as Parts
from .routes import is_of_a_customer as is_of_a_customer
from .routes import make_customer_reader as make_customer_reader
from .routes import make_router as make_router
from .routes import need as need
from .stream import STREAM_PATH as STREAM_PATH
from .stream import Streams as Streams

__all__ = [
    "CUSTOMERS",
    "STREAM_PATH",
    "Parts",
    "Streams",
    "describe_api",
    "is_of_a_customer",
    "make_customer_reader",
    "make_router",
    "need",
    "render_docs",
]
