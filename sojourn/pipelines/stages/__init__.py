"""The stages of a run, in the order in which they run: samples, states, transitions; and what a run says of itself."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
