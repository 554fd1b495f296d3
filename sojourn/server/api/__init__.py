"""The API: questions about customers, states and changes.

In: requests with scope `read` or `admin`. Out: JSON.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
