"""Segments: strategic groups of customers.

In: features of customers at an instant. Out: segments with validation, descriptions and relevance.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
