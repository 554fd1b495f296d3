"""Words: numbers, durations, intervals and findings as sentences.

In: numbers and tables. Out: texts, for terminal, pages and figures alike.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
