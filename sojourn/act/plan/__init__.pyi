from .plan import Plan as Plan
from .plan import make_plan as make_plan

__all__ = ["Plan", "make_plan"]
