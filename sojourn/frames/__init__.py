"""What passes between stages: table schemas, instants, type names, files.

In: nothing of Sojourn but its errors. Out: schemas that every stage keeps, readers and writers of files.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
