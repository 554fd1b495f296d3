"""A file per section of a playbook.

In: YAML nodes with their lines. Out: the objects of :mod:`sojourn.playbook.objects`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
