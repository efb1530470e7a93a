"""Selection: the product of a shared bit and a shared number, exactly.

With a dealt random bit ρ (shared by exclusive or and additively), a uniform a and [a ρ], open v = b ^ ρ and e = x - a
in one round. Then ρ x = e ρ + a ρ and b x = v x + (1 - 2v) ρ x, which is linear in what is shared. Online 1 bit a bit
and 8 bytes a number; offline 8 bytes a bit and 8 a product. Both opened values are masked by fresh uniform ones.

A number times a sum of bits, (Σ_k f_k b_k) x with public f_k, is Σ_k f_k (v_k x + (1 - 2v_k) ρ_k x): x is opened once,
and 8 bytes a bit are dealt.
Source: Beaver, CRYPTO 1991, with the random bit of Damgård et al., TCC 2006.
"""

import numpy as np
from numba import njit

from components.mpc.bits import from_opened, pack, packed_size, unpack
from components.mpc.shared import Shared, SharedBits


def select(bits: SharedBits, values: Shared, *, site: str = "select") -> Shared:
    """bits · values, fraction bits unchanged; shapes broadcast, and what is broadcast is opened once. One round."""
    return select_and_convert(bits, values, site=site)[0]


def select_and_convert(bits: SharedBits, values: Shared, *, site: str = "select") -> tuple[Shared, Shared]:
    """bits · values, and the bits as ring elements of no fraction bits, b = v + (1 - 2v) ρ, at no further cost."""
    engine = values.engine
    shape = np.broadcast_shapes(bits.shape, values.shape)
    mask = engine.uniform_bits((packed_size(bits.size),))
    a = engine.uniform(values.shape)
    bit = unpack(mask, bits.shape) if engine.deals else None
    rho = engine.dealt(lambda: bit.astype(np.uint64), bits.shape)
    product = engine.dealt(lambda: np.multiply(bit, a, dtype=np.uint64), shape)
    if engine.deals:
        return engine.zeros(shape, values.fraction), engine.zeros(bits.shape, 0)
    e, opened = engine.open_both(site, values.words - a, pack(bits.words) ^ mask)
    v = unpack(opened, bits.shape)
    flat = [np.broadcast_to(array, shape).reshape(-1) for array in (v, e, rho, values.words, product)]
    return Shared(engine, _combine(*flat).reshape(shape), values.fraction), from_opened(engine, v, rho)


def scale(bits: SharedBits, factors: np.ndarray, values: Shared, *, site: str = "scale") -> tuple[Shared, Shared]:
    """Σ_k factors[k] bits[k] · values, and the bits as ring elements. One round.

    bits of (T, n), factors (T,) public integers, values (V, n); gives (V, n) and (T, n).
    """
    engine, (count, size), vectors = values.engine, bits.shape, len(values)
    mask = engine.uniform_bits((packed_size(bits.size),))
    a = engine.uniform(values.shape)
    bit = unpack(mask, bits.shape) if engine.deals else None
    rho = engine.dealt(lambda: bit.astype(np.uint64), bits.shape)
    product = engine.dealt(lambda: np.multiply(bit[None], a[:, None], dtype=np.uint64), (vectors, count, size))
    if engine.deals:
        return engine.zeros(values.shape, values.fraction), engine.zeros(bits.shape, 0)
    e, opened = engine.open_both(site, values.words - a, pack(bits.words) ^ mask)
    v = unpack(opened, bits.shape)
    scaled = _scale(v, e, rho, values.words, product, np.asarray(factors, dtype=np.int64).view(np.uint64))
    return Shared(engine, scaled, values.fraction), from_opened(engine, v, rho)


@njit(cache=True, nogil=True)
def _scale(v, e, rho, x, a_rho, factors):
    scaled = np.zeros(x.shape, dtype=np.uint64)
    for vector in range(len(x)):
        for k in range(len(factors)):
            for i in range(x.shape[1]):
                rho_x = e[vector, i] * rho[k, i] + a_rho[vector, k, i]
                scaled[vector, i] += factors[k] * (x[vector, i] - rho_x if v[k, i] != 0 else rho_x)
    return scaled


@njit(cache=True, nogil=True)
def _combine(v, e, rho, x, a_rho):
    product = np.empty(len(x), dtype=np.uint64)
    for i in range(len(x)):
        rho_x = e[i] * rho[i] + a_rho[i]
        # v x + (1 - 2v) ρ x
        product[i] = x[i] - rho_x if v[i] != 0 else rho_x
    return product
