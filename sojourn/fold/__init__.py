"""The fold: a customer is a fold over their events.

In: events in order of time and a :class:`Layout`. Out: a vector per customer, from which every feature is read.
Numba is loaded when events are folded, not before.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
