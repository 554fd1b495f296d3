"""Destinations: a file each.

In: changes and settings. Out: signed messages, sent until they arrive or are given up.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
