"""Columns on a common scale, as linear models, kernels and networks need them."""

from __future__ import annotations

import numpy as np
from scipy.stats import skew

from sojourn.frames import F8
from sojourn.predict.models import Scale

_SKEWED = 2.0  # |skewness| from which a column is put on a signed log scale


def learn_scale(x: F8) -> Scale:
    """Mean and spread of each column, skewed ones on a signed log scale. A column without any value is left alone."""
    is_log = np.zeros(x.shape[1], bool)
    mean, spread = np.zeros(x.shape[1]), np.ones(x.shape[1])
    for c in range(x.shape[1]):
        known = x[~np.isnan(x[:, c]), c]
        if not len(known):
            continue
        if np.ptp(known) > 0 and len(np.unique(known[:2000])) > 2:
            is_log[c] = abs(float(skew(known))) > _SKEWED
        if is_log[c]:
            known = np.sign(known) * np.log1p(np.abs(known))
        mean[c] = known.mean()
        spread[c] = known.std() if known.std() > 1e-9 else 1.0
    return Scale(is_log, mean, spread)
