"""Ingest: tracking calls over HTTP.

In: bodies of Segment, RudderStack and PostHog clients. Out: an acknowledgement once they are durable.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
