"""Plans: from a goal to states, an audience and a test.

In: the tables of a run. Out: a plan as numbers and names.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
