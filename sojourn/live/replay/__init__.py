"""Replay: events of the past, sent to a server as tracking calls.

In: an event file. Out: calls over HTTP, and what became of them.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
