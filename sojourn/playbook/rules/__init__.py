"""The language of `when:`: grammar, types, compiler.

In: the text of a rule. Out: a typed, frozen rule with a stack program; nothing is evaluated by Python.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
