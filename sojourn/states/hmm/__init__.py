"""Inference of the hidden Markov model.

In: codes of observations. Out: likelihoods, posteriors, paths, published states. Loads Numba on first use.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
