from .customers import Values as Values
from .customers import value_customers as value_customers
from .groups import value_by_group as value_by_group
from .growth import GROWTH as GROWTH
from .growth import grow_values as grow_values
from .holdout import LAST as LAST
from .purchases import Histories as Histories
from .purchases import Purchases as Purchases
from .purchases import choose_purchases as choose_purchases
from .purchases import day_of as day_of
from .purchases import find_purchases as find_purchases
from .purchases import trace_histories as trace_histories
from .revenue import RevenueHoldout as RevenueHoldout
from .rows import Behaviour as Behaviour
from .rows import watch_behaviour as watch_behaviour

__all__ = [
    "GROWTH",
    "LAST",
    "Behaviour",
    "Histories",
    "Purchases",
    "RevenueHoldout",
    "Values",
    "choose_purchases",
    "day_of",
    "find_purchases",
    "grow_values",
    "trace_histories",
    "value_by_group",
    "value_customers",
    "watch_behaviour",
]
