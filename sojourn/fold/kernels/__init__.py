"""Compiled loops of the fold, of ids, audiences, patterns and scores.

In: plain arrays. Out: plain arrays, in place. Loads Numba.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
