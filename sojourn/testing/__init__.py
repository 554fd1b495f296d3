"""Checks for those who extend Sojourn: a feature call, a kind of model or a kind of destination goes in, and an
AssertionError that says what is wrong comes out, or nothing.

They need no test framework: call them in a test of your own.
"""

from sojourn.testing.destinations import check_destination
from sojourn.testing.models import check_model
from sojourn.testing.primitives import check_primitive

__all__ = ["check_destination", "check_model", "check_primitive"]
