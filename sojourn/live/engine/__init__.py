"""The live engine: tracking calls in, states, transitions and changes out.

In: records of calls, in the order of the log. Out: the change feed and the state of every customer.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
