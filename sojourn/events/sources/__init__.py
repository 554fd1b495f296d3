"""Where rows come from: files, tables, databases, streams of text.

In: a path, glob, URL or table. Out: chunks of rows with a place each.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
