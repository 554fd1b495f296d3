from .plan import KINDS as KINDS
from .read import LONGEST_CALL as LONGEST_CALL
from .read import CallReader as CallReader
from .read import ReadCalls as ReadCalls

__all__ = ["KINDS", "LONGEST_CALL", "CallReader", "ReadCalls"]
