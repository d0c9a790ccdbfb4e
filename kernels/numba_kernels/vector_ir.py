"""Vectors in LLVM IR: what the intrinsics that hold their sums in registers are written with."""

from __future__ import annotations

from collections.abc import Callable

import llvmlite.binding as llvm
from llvmlite import ir
from numba import types
from numba.core import cgutils, config

# What Numba compiles for: this processor, unless the environment's NUMBA_CPU_FEATURES says otherwise.
_FEATURES = (config.CPU_FEATURES or llvm.get_host_cpu_features().flatten()).split(",")
# The width of a register.
VECTOR_BYTES = 64 if "+avx512f" in _FEATURES else 32 if "+avx2" in _FEATURES else 16
INT32, INT64 = ir.IntType(32), ir.IntType(64)


def size_of(real: ir.Type) -> int:
    """Bytes of a float, double or integer."""
    return real.width // 8 if isinstance(real, ir.IntType) else 4 if isinstance(real, ir.FloatType) else 8


def lanes_of(real: ir.Type) -> int:
    """Elements of a register."""
    return VECTOR_BYTES // size_of(real)


def element_type(type_: ir.Type) -> ir.Type:
    """Of a vector; a number's own type."""
    return type_.element if isinstance(type_, ir.VectorType) else type_


def constant(type_: ir.Type, value: float) -> ir.Constant:
    """A number, in all lanes of a vector."""
    return ir.Constant(type_, [value] * type_.count if isinstance(type_, ir.VectorType) else value)


def kept(builder: ir.IRBuilder, type_: ir.Type, value: float) -> ir.Value:
    """A constant that LLVM takes for a variable: outside the loop it is put in a register, and stays there.

    As constants they would be loaded anew in every iteration of a loop in a large function, each from an
    address of 64 bits that an instruction of its own makes.
    """
    same = ir.InlineAsm(ir.FunctionType(type_, [type_]), "", "=x,0")
    return builder.call(same, [constant(type_, value)], attrs=("nounwind", "readnone"))


def multiply_add(builder: ir.IRBuilder, a: ir.Value, b: ir.Value, c: ir.Value) -> ir.Value:
    """a b + c, of numbers or vectors: rounded once where the processor has a fused multiply-add."""
    is_vector = isinstance(a.type, ir.VectorType)
    lanes, real = (f"v{a.type.count}", a.type.element) if is_vector else ("", a.type)
    name = f"llvm.fmuladd.{lanes}{real.intrinsic_name}"
    function = ir.FunctionType(a.type, [a.type] * 3)
    return builder.call(cgutils.get_or_insert_function(builder.module, function, name), [a, b, c])


def polynomial(builder: ir.IRBuilder, x: ir.Value, coefficients: tuple[float, ...]) -> ir.Value:
    """Horner's rule for the even and for the odd powers: two chains that run beside each other."""
    square = builder.fmul(x, x)
    sums = []
    for powers in (coefficients[0::2], coefficients[1::2]):
        total, *rest = (kept(builder, x.type, value) for value in reversed(powers))
        for value in rest:
            total = multiply_add(builder, total, square, value)
        sums.append(total)
    even, odd = sums
    return multiply_add(builder, x, odd, even)


def broadcast(builder: ir.IRBuilder, x: ir.Value, lanes: int) -> ir.Value:
    """A vector with x in all lanes."""
    undefined = ir.Constant(ir.VectorType(x.type, lanes), ir.Undefined)
    first = builder.insert_element(undefined, x, INT32(0))
    return builder.shuffle_vector(first, undefined, ir.Constant(ir.VectorType(INT32, lanes), None))


def shuffle(builder: ir.IRBuilder, a: ir.Value, b: ir.Value, lanes: list[int]) -> ir.Value:
    """The lanes of these numbers, those of b counted on from a's."""
    return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(INT32, len(lanes)), lanes))


def first_lanes(builder: ir.IRBuilder, count: ir.Value, lanes: int) -> ir.Value:
    """The mask of the first `count` (int64) lanes."""
    lane = ir.Constant(ir.VectorType(INT32, lanes), list(range(lanes)))
    return builder.icmp_signed("<", lane, broadcast(builder, builder.trunc(count, INT32), lanes))


def load(
    builder: ir.IRBuilder,
    pointer: ir.Value,
    vector: ir.VectorType,
    mask: ir.Value | None = None,
    otherwise: ir.Value | None = None,
) -> ir.Value:
    """The vector at any address; under a mask only its lanes are read, the others are `otherwise`'s or 0."""
    pointer = builder.bitcast(pointer, vector.as_pointer())
    size = size_of(vector.element)
    if mask is None:
        return builder.load(pointer, align=size)
    function = ir.FunctionType(vector, [pointer.type, INT32, mask.type, vector])
    name = f"llvm.masked.load.v{vector.count}{vector.element.intrinsic_name}.p0"
    masked_load = cgutils.get_or_insert_function(builder.module, function, name)
    return builder.call(masked_load, [pointer, INT32(size), mask, otherwise or ir.Constant(vector, None)])


def store(builder: ir.IRBuilder, x: ir.Value, pointer: ir.Value, mask: ir.Value | None = None) -> None:
    """Store a vector at any address; under a mask only its lanes."""
    pointer = builder.bitcast(pointer, x.type.as_pointer())
    size = size_of(x.type.element)
    if mask is None:
        builder.store(x, pointer, align=size)
        return
    function = ir.FunctionType(ir.VoidType(), [x.type, pointer.type, INT32, mask.type])
    name = f"llvm.masked.store.v{x.type.count}{x.type.element.intrinsic_name}.p0"
    masked_store = cgutils.get_or_insert_function(builder.module, function, name)
    builder.call(masked_store, [x, pointer, INT32(size), mask])


def hidden(builder: ir.IRBuilder, pointer: ir.Value) -> ir.Value:
    """The same pointer, but LLVM doesn't know that. Of pointers with one distance between them it would make
    a chain of additions in every iteration of a loop, which takes longer than the loop's work.
    """
    return builder.asm(ir.FunctionType(pointer.type, [pointer.type]), "", "=r,0", [pointer], False)


def prefetch(builder: ir.IRBuilder, pointer: ir.Value, ahead: int, *, to_write: bool = False) -> None:
    """Ask for the cache line `ahead` elements on."""
    at = builder.gep(pointer, [INT64(ahead)])
    function = ir.FunctionType(ir.VoidType(), [at.type, INT32, INT32, INT32])
    ask = cgutils.get_or_insert_function(builder.module, function, "llvm.prefetch.p0")
    builder.call(ask, [at, INT32(int(to_write)), INT32(3), INT32(1)])  # to stay in all caches; of data


def carried_loop(
    builder: ir.IRBuilder,
    begin: ir.Value,
    end: ir.Value,
    step: int,
    values: list[ir.Value],
    body: Callable[[ir.Value, list[ir.Value]], list[ir.Value]],
    *,
    unroll: bool = True,
) -> list[ir.Value]:
    """`values = body(k, values)` for k in range(begin, end, step): the values stay in registers.

    LLVM may unroll it, unless told not to: the processor prefetches for a load whose steps are small.
    """
    before = builder.block
    head, inside, after = (builder.function.append_basic_block(name) for name in ("head", "body", "after"))
    builder.branch(head)
    builder.position_at_end(head)
    k, *running = phis = [builder.phi(value.type) for value in (begin, *values)]
    builder.cbranch(builder.icmp_signed("<", k, end), inside, after)
    builder.position_at_end(inside)
    updated = [builder.add(k, INT64(step)), *body(k, running)]
    for phi, first, value in zip(phis, (begin, *values), updated, strict=True):
        phi.add_incoming(first, before)
        phi.add_incoming(value, builder.block)
    back = builder.branch(head)
    if not unroll:
        rule = builder.module.add_metadata(["llvm.loop.unroll.disable"])
        loop = builder.module.add_metadata([rule])
        loop.operands = (loop, rule)  # a loop's name is a node that begins with itself
        back.set_metadata("llvm.loop", loop)
    builder.position_at_end(after)
    return running


def choose(
    builder: ir.IRBuilder, cases: list[tuple[ir.Value, object]], body: Callable[[object], None]
) -> None:
    """body(x) for the x of the first case whose condition holds; body(None) where none does."""
    if not cases:
        body(None)
        return
    (condition, case), *rest = cases
    with builder.if_else(condition) as (then, otherwise):
        with then:
            body(case)
        with otherwise:
            choose(builder, rest, body)


def call_function(context, builder, signature, args, name: str, emit: Callable[..., None]) -> None:
    """Call the module's function `name`, whose code `emit(builder, real, *arguments)` writes, once."""
    module = builder.module
    real = next(context.get_data_type(t.dtype) for t in signature.args if isinstance(t, types.CPointer))
    name = f"fastnn.{name}.{real}"
    if name not in module.globals:
        function = ir.Function(module, ir.FunctionType(ir.VoidType(), [arg.type for arg in args]), name)
        function.linkage = "linkonce_odr"
        function.attributes.add("noinline")  # within a large function it would have fewer registers
        body = ir.IRBuilder(function.append_basic_block("entry"))
        emit(body, real, *function.args)
        body.ret_void()
    builder.call(module.globals[name], args)
