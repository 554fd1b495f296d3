"""Journeys: patterns of events and of states that precede an outcome.

In: streams of events and outcomes. Out: patterns with support, contrast and interval.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
