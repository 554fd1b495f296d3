"""The state model: which state each customer is in, and why.

In: folded events and a playbook. Out: a fitted model, posteriors, published states, reasons.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
