from .destinations import check_destination as check_destination
from .models import check_model as check_model
from .primitives import check_primitive as check_primitive

__all__ = ["check_destination", "check_model", "check_primitive"]
