"""The server: HTTP around the live engine.

In: requests with a key. Out: answers, streams, metrics.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
