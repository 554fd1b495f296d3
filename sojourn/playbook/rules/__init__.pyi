from .calls import LONGEST_S as LONGEST_S
from .compile import compile_audience as compile_audience
from .compile import compile_condition as compile_condition
from .compile import compile_feature as compile_feature
from .compile import compile_tree as compile_tree
from .meaning import find_model as find_model
from .meaning import run_program as run_program
from .nodes import ABS as ABS
from .nodes import ADD as ADD
from .nodes import AND as AND
from .nodes import CONST as CONST
from .nodes import DIV as DIV
from .nodes import EQ as EQ
from .nodes import GE as GE
from .nodes import GT as GT
from .nodes import IS_MISSING as IS_MISSING
from .nodes import LE as LE
from .nodes import LOAD as LOAD
from .nodes import LT as LT
from .nodes import MAX_DEPTH as MAX_DEPTH
from .nodes import MIN as MIN
from .nodes import MUL as MUL
from .nodes import NE as NE
from .nodes import NEG as NEG
from .nodes import NOT as NOT
from .nodes import OR as OR
from .nodes import SUB as SUB
from .nodes import UNIT_SECONDS as UNIT_SECONDS
from .nodes import Call as Call
from .nodes import Column as Column
from .nodes import Constant as Constant
from .nodes import Node as Node
from .nodes import Operation as Operation
from .nodes import Program as Program
from .nodes import Reading as Reading
from .nodes import RowRule as RowRule
from .nodes import Rule as Rule
from .nodes import format_duration as format_duration
from .nodes import walk as walk
from .ranges import explain_constant as explain_constant
from .rows import RowUnit as RowUnit
from .rows import compile_row_rule as compile_row_rule
from .rows import explain_protected as explain_protected
from .rows import place_models as place_models
from .types import Typed as Typed
from .types import Vocabulary as Vocabulary

__all__ = [
    "ABS",
    "ADD",
    "AND",
    "CONST",
    "DIV",
    "EQ",
    "GE",
    "GT",
    "IS_MISSING",
    "LE",
    "LOAD",
    "LONGEST_S",
    "LT",
    "MAX_DEPTH",
    "MIN",
    "MUL",
    "NE",
    "NEG",
    "NOT",
    "OR",
    "SUB",
    "UNIT_SECONDS",
    "Call",
    "Column",
    "Constant",
    "Node",
    "Operation",
    "Program",
    "Reading",
    "RowRule",
    "RowUnit",
    "Rule",
    "Typed",
    "Vocabulary",
    "compile_audience",
    "compile_condition",
    "compile_feature",
    "compile_row_rule",
    "compile_tree",
    "explain_constant",
    "explain_protected",
    "find_model",
    "format_duration",
    "place_models",
    "run_program",
    "walk",
]
