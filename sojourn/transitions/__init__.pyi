from .dwell import estimate_dwell as estimate_dwell
from .logistic import fit_logistic as fit_logistic
from .matrix import analyse_moves as analyse_moves
from .matrix import count_states as count_states
from .stays import Stays as Stays
from .stays import names_at as names_at
from .stays import read_stays as read_stays
from .values import VALUES as VALUES
from .values import value_moves as value_moves

__all__ = [
    "VALUES",
    "Stays",
    "analyse_moves",
    "count_states",
    "estimate_dwell",
    "fit_logistic",
    "names_at",
    "read_stays",
    "value_moves",
]
