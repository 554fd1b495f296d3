"""The archive: whole days of the log as Parquet files.

In: records of the log. Out: a folder per day.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
