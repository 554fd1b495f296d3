"""Customers whose true states are known.

In: how many, how long, a seed. Out: raw events, and the truth beside them.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
