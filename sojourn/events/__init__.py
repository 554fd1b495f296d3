"""Events: raw rows in, a valid log out.

In: files, tables or tracking calls, and a playbook. Out: events with class, customer and instant; duplicates counted;
rows that cannot be used in quarantine, with the reason.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
