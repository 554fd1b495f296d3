"""Kinds of models to predict with, a file each: ``NAME``, and ``CANDIDATE``, which says how it is fitted."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
