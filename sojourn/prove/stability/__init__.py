"""Stability: who is reassigned by a refit, and why.

In: memberships of several refits. Out: shares reassigned, split into behaviour and model.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
