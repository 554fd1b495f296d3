"""Acting: audiences, changes, the outbox.

In: states, features and rules. Out: who belongs to which audience, and what is sent where.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
