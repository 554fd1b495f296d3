"""Predictions: what customers will do next, and why.

In: learning tables that are correct in time. Out: models chosen on held-out customers, scores, reasons, drift.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
