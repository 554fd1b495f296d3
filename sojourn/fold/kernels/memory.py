# mypy: disable-error-code="untyped-decorator,no-untyped-call,assignment,no-any-return"
# Numba compiles what is below with its own types, which the type checker cannot follow.
"""What compiled loops share: pointers, prefetch, exact powers of two and the units of instants."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import extending, types
from numba import njit as _njit

# Compiled code works on Numba's own types; to the type checker its values are Any.
njit: Any = _njit
intrinsic: Any = extending.intrinsic
GAP_US = 1_800_000_000.0
CHUNK = 8192  # events looked through at a time
MISSING = 255
SETTINGS: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy"}
PART: dict[str, Any] = {"error_model": "numpy", "forceinline": True}


@intrinsic
def pointer_to(typing: Any, array: Any) -> Any:
    """The address of an array's memory, indexed like the flat array.

    Loops pass addresses to their parts: an array would be counted as one more reference at every call, atomically.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return context.make_array(signature.args[0])(context, builder, arguments[0]).data

    return types.CPointer(array.dtype)(array), generate


@intrinsic
def skip(typing: Any, pointer: Any, n: Any) -> Any:
    """The address of ``pointer[n]``."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.gep(arguments[0], [arguments[1]])

    return pointer(pointer, types.int64), generate


@intrinsic
def prefetch(typing: Any, pointer: Any, index: Any) -> Any:
    """Ask for the cache line of ``pointer[index]`` for writing, without waiting for it."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        byte, whole = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [byte, whole, whole, whole])
        function = builder.module.declare_intrinsic("llvm.prefetch", [byte], kind)
        address = builder.bitcast(builder.gep(arguments[0], [arguments[1]]), byte)
        builder.call(function, [address, whole(1), whole(3), whole(1)])
        return context.get_dummy_value()

    return types.void(pointer, index), generate


@intrinsic
def as_float(typing: Any, bits: Any) -> Any:
    """The float64 that has these 64 bits."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.DoubleType())

    return types.float64(types.int64), generate


@intrinsic
def trailing_zeros(typing: Any, bits: Any) -> Any:
    """How many zero bits come below the lowest bit that is set."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(types.int64), generate


@njit(**PART)
def exp2(x: Any) -> Any:
    """2 to the power ``x`` for ``x`` of at most 1023; see :func:`sojourn.fold.steps.exp2` for how, and its error."""
    if x < -1021.0:
        return 0.0
    n = np.floor(x + 0.5)
    f = x - n
    f2 = f * f
    f4 = f2 * f2
    low = (0.6931471805599453 + 0.24022650695910097 * f) + (0.0555041086648216 + 0.009618129107606888 * f) * f2
    mid = (0.0013333558146416936 + 0.0001540353044173605 * f) + (1.525273382983612e-05 + 1.321544258792169e-06 * f) * f2
    high = (1.0178062445845774e-07 + 7.072585949269223e-09 * f) + 4.4549605981865186e-10 * f2
    power = 1.0 + f * (low + (mid + high * f4) * f4)
    return power * as_float((np.int64(n) + 1023) << 52)


I8, I32, I64 = types.uint8, types.int32, types.int64


U64, F64 = types.uint64, types.float64


def _array(kind: Any, n_dims: int = 1) -> Any:
    return types.Array(kind, n_dims, "C")


def _given(kind: Any, n_dims: int = 1) -> Any:
    """An array that is only read: writable and read-only ones (Arrow's) both fit."""
    return types.Array(kind, n_dims, "C", readonly=True)
