"""The live side: a project, its settings, its versions.

In: a project folder. Out: an engine that keeps every state current.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
