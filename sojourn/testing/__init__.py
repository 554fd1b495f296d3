"""Check suites for people who extend Sojourn.

In: a primitive, model kind or destination. Out: nothing, or an assertion that says what does not hold.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
