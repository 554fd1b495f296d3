"""Micro-moments: patterns of events inside a window.

In: folded events. Out: completions, what they go with, and proposals of new ones.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
