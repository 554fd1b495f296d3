"""Triggers: hazard ratios of transitions, with intervals and placebos.

In: stays, events and touches. Out: a table of triggers.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
