from .additive import cut_column as cut_column
from .additive import fit_additive as fit_additive
from .logistic import fit_logistic as fit_logistic

__all__ = ["cut_column", "fit_additive", "fit_logistic"]
