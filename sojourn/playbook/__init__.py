"""The playbook: what people decided, in one reviewed file.

In: a YAML file or the name of a ready playbook. Out: a frozen, checked :class:`Playbook`, or an error with its line.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
