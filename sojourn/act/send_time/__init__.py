"""Send time: when each customer answers messages.

In: sends and answers. Out: the best hour per customer, held-out gain.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
