"""Transitions: how often, how fast, what goes with them.

In: published states. Out: stays, matrix, dwell with censoring, precursors, values.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
