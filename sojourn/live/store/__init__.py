"""The store: log, changes, outbox and versions, in SQLite or PostgreSQL.

In: records. Out: the same records, after any crash.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
