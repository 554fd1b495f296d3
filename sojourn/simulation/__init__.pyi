from .customers import simulate as simulate
from .customers import simulate_to as simulate_to

__all__ = ["simulate", "simulate_to"]
