"""Several ring elements in one instruction: what the compiler does not find by itself in the hot loops.

LLVM keeps to 256 bits where it may use 512, and cannot know that a row of sums does not overlap a row of terms. These
intrinsics say it: `add(2 | 4 | 8)` and `multiply_add` work on so many neighbouring words of flat arrays. On a machine
without such registers LLVM splits them; the result is the same everywhere.
"""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

_WORD = ir.IntType(64)


def _load(context, builder, array_type, array, position, width):
    """`width` neighbouring integers of a flat array as words, and where they are."""
    data = context.make_array(array_type)(context, builder, array).data
    element = ir.IntType(array_type.dtype.bitwidth)
    pointer = builder.bitcast(builder.gep(data, [position]), ir.VectorType(element, width).as_pointer())
    loaded = builder.load(pointer)
    loaded.align = array_type.dtype.bitwidth // 8
    if array_type.dtype.bitwidth < 64:
        extend = builder.sext if array_type.dtype.signed else builder.zext
        loaded = extend(loaded, ir.VectorType(_WORD, width))
    return loaded, pointer


def _store(builder, value, pointer):
    builder.store(value, pointer).align = 8


def _adding(width):
    @intrinsic
    def add(typing_context, target, to, source, at):
        """target[to + k] += source[at + k] for all lanes k."""

        def generate(context, builder, signature, arguments):
            target_type, _, source_type, _ = signature.args
            before, pointer = _load(context, builder, target_type, arguments[0], arguments[1], width)
            terms, _ = _load(context, builder, source_type, arguments[2], arguments[3], width)
            _store(builder, builder.add(before, terms), pointer)
            return context.get_dummy_value()

        return types.void(target, types.intp, source, types.intp), generate

    return add


add_2, add_4, add_8 = _adding(2), _adding(4), _adding(8)


@intrinsic
def multiply_add_8(typing_context, target, to, source, at, stride, a, b, c, d):
    """target[to + k] += a source[at + k] + b source[at + stride + k] + … for eight lanes k, four rows of source."""

    def generate(context, builder, signature, arguments):
        target_type, source_type = signature.args[0], signature.args[2]
        total, pointer = _load(context, builder, target_type, arguments[0], arguments[1], 8)
        position = arguments[3]
        for factor in arguments[5:]:
            row, _ = _load(context, builder, source_type, arguments[2], position, 8)
            lanes = ir.Constant(ir.VectorType(_WORD, 8), ir.Undefined)
            for lane in range(8):
                lanes = builder.insert_element(lanes, factor, ir.Constant(ir.IntType(32), lane))
            total = builder.add(total, builder.mul(row, lanes))
            position = builder.add(position, arguments[4])
        _store(builder, total, pointer)
        return context.get_dummy_value()

    word, index = types.uint64, types.intp
    return types.void(target, index, source, index, index, word, word, word, word), generate
