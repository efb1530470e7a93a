"""Inner products between the positions of each unit, the half that differs: what most of a norm's time goes into.

Matrices of twenty rows are too small for a BLAS: a batched product reaches a tenth of the speed of one large matrix. On
few threads a kernel that keeps blocks of 4 x 2 products in registers, and leaves out the upper half, takes a third of
its time. On many threads, or on another device, the batched product is used.
"""

import torch
from numba import njit
from torch import Tensor

FEW_THREADS = 4


def sum_of_products(left: Tensor, right: Tensor) -> Tensor:
    """(units,) sums, in double precision, of products of two lower halves (units, S, S) of symmetric matrices."""
    products = left * right
    both = products.sum((1, 2), dtype=torch.float64)
    return 2 * both - products.diagonal(dim1=1, dim2=2).sum(1, dtype=torch.float64)


def lower_gram(values: Tensor) -> Tensor:
    """(units, S, d) → (units, S, S) inner products a_s . a_t for t <= s, and zero elsewhere."""
    if values.device.type != "cpu" or torch.get_num_threads() > FEW_THREADS:
        return torch.tril(values @ values.transpose(1, 2))
    if not values.is_contiguous() and not values.transpose(0, 1).is_contiguous():
        values = values.contiguous()
    units, positions, width = values.shape
    result = values.new_zeros(units, positions, positions)
    in_memory = values if values.is_contiguous() else values.transpose(0, 1)
    unit_stride, position_stride, _ = values.stride()
    _fill(in_memory.detach().reshape(-1).numpy(), unit_stride, position_stride, width, result.numpy())
    return torch.tril(result)


@njit(inline="always")
def _position(flat, start, width):
    return flat[start : start + width]


@njit(cache=True, nogil=True, fastmath=True)
def _fill(flat, unit_stride, position_stride, width, result):
    units, positions, _ = result.shape
    # Typed: with a plain 0 the sums would be in double precision.
    zero = flat.dtype.type(0)
    for unit in range(units):
        base = unit * unit_stride
        for s in range(0, positions, 4):
            # At the edge the last position stands in for those beyond it, and is written again with what it was.
            s1, s2, s3 = min(s + 1, positions - 1), min(s + 2, positions - 1), min(s + 3, positions - 1)
            # Slices, of which the compiler knows that no index is negative: else it makes no vectors of the inner loop.
            x0, x1, x2, x3 = (
                _position(flat, base + s * position_stride, width),
                _position(flat, base + s1 * position_stride, width),
                _position(flat, base + s2 * position_stride, width),
                _position(flat, base + s3 * position_stride, width),
            )
            for t in range(0, min(s + 4, positions), 2):
                t1 = min(t + 1, positions - 1)
                y0 = _position(flat, base + t * position_stride, width)
                y1 = _position(flat, base + t1 * position_stride, width)
                p00 = p01 = p10 = p11 = p20 = p21 = p30 = p31 = zero
                for d in range(width):
                    a0, a1, a2, a3 = x0[d], x1[d], x2[d], x3[d]
                    b0, b1 = y0[d], y1[d]
                    p00 += a0 * b0
                    p01 += a0 * b1
                    p10 += a1 * b0
                    p11 += a1 * b1
                    p20 += a2 * b0
                    p21 += a2 * b1
                    p30 += a3 * b0
                    p31 += a3 * b1
                block = result[unit]
                block[s, t], block[s, t1] = p00, p01
                block[s1, t], block[s1, t1] = p10, p11
                block[s2, t], block[s2, t1] = p20, p21
                block[s3, t], block[s3, t1] = p30, p31
