"""Jobs: one per file, callable from Python, command line, web and MCP.

In: paths or tables, and options. Out: results in memory, and folders that only jobs read and write.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
