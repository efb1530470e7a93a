"""Histograms: the sums of gradients and hessians in every slot of every feature, over the rows of a node.

A row is read once for all features; its gradient and hessian are added together, as one vector of two whole numbers,
and rows that come soon are fetched ahead, since those of a deep node lie far apart. That is most of the time that
training takes, hence the two instructions that Python has no words for.
Source: Chen and Guestrin, KDD 2016, section 4.2 (prefetching); XGBoost 3.2, `hist_util.cc`.
"""

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

AHEAD = 12
"""Rows between the one that is added and the one that is fetched."""

_WORD, _INDEX, _BYTES = ir.IntType(64), ir.IntType(32), ir.IntType(8).as_pointer()
_PAIR = ir.VectorType(_WORD, 2)


@intrinsic
def _add_pair(typing_context, sums, at, gradient, hessian):
    """sums[at] += gradient, hessian, for (m, 2) int64 sums."""

    def generate(context, builder, signature, arguments):
        array, at, gradient, hessian = arguments
        data = context.make_array(signature.args[0])(context, builder, array).data
        place = builder.gep(data, [builder.shl(at, ir.Constant(_WORD, 1))])
        place = builder.bitcast(place, _PAIR.as_pointer())
        pair = builder.insert_element(ir.Constant(_PAIR, ir.Undefined), gradient, ir.Constant(_INDEX, 0))
        pair = builder.insert_element(pair, hessian, ir.Constant(_INDEX, 1))
        builder.store(builder.add(builder.load(place, align=8), pair), place, align=8)
        return context.get_dummy_value()

    return types.void(sums, types.uint64, types.int64, types.int64), generate


@intrinsic
def fetch(typing_context, array, byte):
    """Ask for the cache line that holds a byte of an array; never more than a hint."""

    def generate(context, builder, signature, arguments):
        array, byte = arguments
        data = context.make_array(signature.args[0])(context, builder, array).data
        place = builder.gep(builder.bitcast(data, _BYTES), [byte])
        kind = ir.FunctionType(ir.VoidType(), [_BYTES, _INDEX, _INDEX, _INDEX])
        call = builder.module.declare_intrinsic("llvm.prefetch", [_BYTES], kind)
        builder.call(call, [place, *(ir.Constant(_INDEX, value) for value in (0, 3, 1))])
        return context.get_dummy_value()

    return types.void(array, types.uint64), generate


@njit(cache=True, nogil=True)
def add_rows(bins, pairs, rows, starts, sums):
    """Add the rows `rows` (indices) to a node's sums.

    bins (n, F) row by row; pairs (n, 2) int64; starts (F,) uint64, where each feature's slots begin; sums (slots, 2)
    int64.
    """
    count, features = len(rows), np.uint64(bins.shape[1])
    width = np.uint64(bins.shape[1] * bins.itemsize)
    for place in range(count):
        soon = np.uint64(rows[min(place + AHEAD, count - 1)])
        fetch(bins, soon * width)
        fetch(bins, soon * width + width - np.uint64(1))
        fetch(pairs, soon * np.uint64(16))
        row = np.uint64(rows[place])
        gradient, hessian = pairs[row, 0], pairs[row, 1]
        for feature in range(features):
            _add_pair(sums, starts[feature] + np.uint64(bins[row, feature]), gradient, hessian)
