from .power import ALPHA as ALPHA
from .power import POWER as POWER
from .power import TestPlan as TestPlan
from .power import plan_test as plan_test

__all__ = ["ALPHA", "POWER", "TestPlan", "plan_test"]
