"""Pages: reports and briefs as single HTML files.

In: results. Out: HTML and Markdown that work offline.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
