"""Names for types that many stages use."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

F8 = NDArray[np.float64]
I8 = NDArray[np.int64]
Bools = NDArray[np.bool_]
Rows = NDArray[np.int32]
Progress = Callable[[str, int, int], None]
