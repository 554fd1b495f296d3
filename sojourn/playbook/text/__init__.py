"""Language and sentiment of texts.

In: a text. Out: its language and polarity, by lexicon or by a model learned from labels.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
