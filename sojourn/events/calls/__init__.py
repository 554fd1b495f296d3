"""Tracking calls, as the public Segment HTTP API has them.

In: decoded JSON. Out: events, identities and traits, or the reason why not.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
