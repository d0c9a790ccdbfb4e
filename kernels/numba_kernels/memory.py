"""Pointers, scratch memory and the division of work: what every kernel starts from.

An operand is a plain pointer, indexed like an array: `x = t[0]`, then `x[i]`. No bounds, no wraparound, no
reference counts stand between a loop and LLVM's vectorizer.
"""

from __future__ import annotations

from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

# A function that kernels call; divisions are IEEE's.
helper = njit(error_model="numpy")
# The same, always expanded in place: for what loops call, else they aren't vectorized, and for what is called
# with scratch, so that the loops over it are known not to touch the operands.
inlined = njit(error_model="numpy", forceinline=True)


@inlined
def share(count, grain, thread, threads):
    """(begin, end): the range of `count` outputs of `thread` of `threads`, cut at multiples of `grain`."""
    if threads == 1:  # spares small kernels the divisions
        return 0, count
    grains = (count + grain - 1) // grain
    begin = grains * thread // threads * grain
    end = min(count, grains * (thread + 1) // threads * grain)
    return begin, end


@intrinsic
def is_null(typingctx, pointer):
    """Whether an optional operand is absent."""

    def codegen(context, builder, signature, args):
        return cgutils.is_null(builder, args[0])

    return types.boolean(pointer), codegen


@intrinsic
def null(typingctx, pointer):
    """An absent operand of `pointer`'s type."""

    def codegen(context, builder, signature, args):
        return cgutils.get_null_value(args[0].type)

    return pointer(pointer), codegen


@intrinsic
def same(typingctx, a, b):
    """Whether two pointers are equal: the operation is done in place."""

    def codegen(context, builder, signature, args):
        return builder.icmp_unsigned("==", *args)

    return types.boolean(a, b), codegen


@intrinsic
def offset(typingctx, pointer, count):
    """The pointer to element `count`."""

    def codegen(context, builder, signature, args):
        count_64 = context.cast(builder, args[1], signature.args[1], types.int64)
        return builder.gep(args[0], [count_64])

    return pointer(pointer, count), codegen


def _cast_to(dtype: types.Type):
    @intrinsic
    def cast(typingctx, pointer):
        def codegen(context, builder, signature, args):
            return builder.bitcast(args[0], context.get_value_type(signature.return_type))

        return types.CPointer(dtype)(pointer), codegen

    return cast


# Operands of another dtype than the kernel's.
as_int64 = _cast_to(types.int64)
as_float64 = _cast_to(types.float64)
as_uint8 = _cast_to(types.uint8)


def _stack_of(dtype: types.Type | None):
    @intrinsic(prefer_literal=True)
    def stack(typingctx, pointer, count):
        result = types.CPointer(dtype or pointer.dtype)
        if not isinstance(count, types.IntegerLiteral):
            return None

        def codegen(context, builder, signature, args):
            element = context.get_data_type(result.dtype)
            with builder.goto_entry_block():  # not Numba's alloca_once, which clears the block
                block = builder.alloca(ir.ArrayType(element, count.literal_value))
            block.align = 64
            return builder.bitcast(block, context.get_value_type(result))

        return result(pointer, count), codegen

    return stack


# Uninitialized scratch of `count` (a constant) elements that lasts until the function returns: of the dtype
# that `pointer` points to, or of float64.
stack = _stack_of(None)
stack_float64 = _stack_of(types.float64)


def _heap_of(dtype: types.Type | None):
    @intrinsic
    def heap(typingctx, pointer, count):
        result = types.CPointer(dtype or pointer.dtype)

        def codegen(context, builder, signature, args):
            size = context.get_abi_sizeof(context.get_data_type(result.dtype))
            byte_count = builder.mul(args[1], ir.Constant(args[1].type, size))
            allocate = ir.FunctionType(cgutils.voidptr_t, [args[1].type])
            block = builder.call(
                cgutils.get_or_insert_function(builder.module, allocate, "malloc"), [byte_count]
            )
            with builder.if_then(cgutils.is_null(builder, block), likely=False):
                # A kernel has no way to report it; the scratch is small and bounded.
                abort = ir.FunctionType(ir.VoidType(), [])
                builder.call(cgutils.get_or_insert_function(builder.module, abort, "abort"), [])
            return builder.bitcast(block, context.get_value_type(result))

        return result(pointer, types.int64), codegen

    return heap


# Uninitialized scratch of `count` elements, until `free`: of the dtype that `pointer` points to, or integers.
heap = _heap_of(None)
heap_int32 = _heap_of(types.int32)
heap_int64 = _heap_of(types.int64)


@intrinsic
def free(typingctx, pointer):
    """Give back what `heap` gave."""

    def codegen(context, builder, signature, args):
        function = ir.FunctionType(ir.VoidType(), [cgutils.voidptr_t])
        block = builder.bitcast(args[0], cgutils.voidptr_t)
        builder.call(cgutils.get_or_insert_function(builder.module, function, "free"), [block])
        return context.get_dummy_value()

    return types.void(pointer), codegen


@intrinsic
def like(typingctx, x, value):
    """`value` in the dtype of the number `x`: Python's constants are float64 and would drag float32 along."""

    def codegen(context, builder, signature, args):
        return context.cast(builder, args[1], signature.args[1], signature.return_type)

    return x(x, value), codegen
