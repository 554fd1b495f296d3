"""Customer value: what each customer will buy.

In: purchases. Out: expected purchases and revenue with intervals, by a model chosen on a holdout.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
