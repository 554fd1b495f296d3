"""A support vector machine with a Gaussian kernel."""

from __future__ import annotations

import numpy as np
from sklearn.svm import SVC

from sojourn.frames import F8, I8
from sojourn.predict.candidates import Candidate
from sojourn.predict.models import Kernel, with_marks
from sojourn.predict.scale import learn_scale

NAME = "support vectors"
_MOST_KERNEL_ROWS = 4_000  # the time of a kernel machine grows with their square


def fit_kernel(x: F8, y: I8, seed: int) -> Kernel:
    """A support vector machine with a Gaussian kernel, on at most 4,000 rows drawn at random."""
    scale = learn_scale(x)
    rows = np.random.default_rng(seed).permutation(len(x))[:_MOST_KERNEL_ROWS]
    z = with_marks(scale, x)[rows]
    gamma = 1.0 / max(z.shape[1] * float(z.var()), 1e-9)
    fitted = SVC(C=1.0, gamma=gamma, cache_size=100).fit(z, y[rows])
    return Kernel(
        scale,
        np.asarray(fitted.support_vectors_, np.float64),
        np.asarray(fitted.dual_coef_.T, np.float64),
        gamma,
        np.asarray(fitted.intercept_, np.float64),
    )


CANDIDATE = Candidate(NAME, rank=7, is_glass=False, fit=fit_kernel, turn=6)
