"""The matrices of Winograd's minimal filtering along one axis, as sums of vectors in LLVM IR.

winograd.h has the formula and its source. Two adjacent outputs take the source pixels d of a `piece` and the
taps g: y = Aᵀ [(G g) ∘ (Bᵀ d)], with `side` products instead of 2 taps. The gradient by g is the adjoint,
Gᵀ [(A dy) ∘ (Bᵀ d)]. Filters of 3 and of 2 taps make up the others: of 3 taps with a stride of 2 the even
taps are a filter of 2, the odd one stays as it is; of 5 taps the first three and the others are filters.
"""

from __future__ import annotations

from llvmlite import ir

from fastnn.kernels.numba_kernels.vector_ir import constant

Values = list[ir.Value]


class _Filter:
    """A filter of `taps`, whose sums the builder writes."""

    taps, stride, side = 0, 1, 0

    def __init__(self, builder: ir.IRBuilder, vector: ir.VectorType):
        self.add, self.subtract, self.negative = builder.fadd, builder.fsub, builder.fneg
        self._multiply, self._half = builder.fmul, constant(vector, 0.5)

    @property
    def piece(self) -> int:
        return self.taps + self.stride

    def half(self, x: ir.Value) -> ir.Value:
        return self._multiply(self._half, x)

    def add_each(self, a: Values, b: Values) -> Values:
        return [self.add(*pair) for pair in zip(a, b, strict=True)]


class _Taps2(_Filter):
    taps, side = 2, 3

    def of_source(self, d: Values) -> Values:
        """Bᵀ d"""
        return [self.subtract(d[0], d[1]), d[1], self.subtract(d[2], d[1])]

    def of_weight(self, g: Values) -> Values:
        """G g"""
        return [g[0], self.add(*g), g[1]]

    def to_output(self, m: Values) -> Values:
        """Aᵀ m"""
        return [self.add(m[0], m[1]), self.add(m[1], m[2])]

    def of_gradient(self, y: Values) -> Values:
        """A y"""
        return [y[0], self.add(*y), y[1]]

    def to_weight(self, u: Values) -> Values:
        """Gᵀ u"""
        return [self.add(u[0], u[1]), self.add(u[1], u[2])]


class _Taps3(_Filter):
    taps, side = 3, 4

    def of_source(self, d: Values) -> Values:
        return [
            self.subtract(d[0], d[2]), self.add(d[1], d[2]), self.subtract(d[2], d[1]),
            self.subtract(d[1], d[3]),
        ]  # fmt: skip

    def of_weight(self, g: Values) -> Values:
        ends = self.add(g[0], g[2])
        return [g[0], self.half(self.add(ends, g[1])), self.half(self.subtract(ends, g[1])), g[2]]

    def to_output(self, m: Values) -> Values:
        return [
            self.add(self.add(m[0], m[1]), m[2]),
            self.subtract(self.subtract(m[1], m[2]), m[3]),
        ]

    def of_gradient(self, y: Values) -> Values:
        return [y[0], self.add(*y), self.subtract(*y), self.negative(y[1])]

    def to_weight(self, u: Values) -> Values:
        total = self.half(self.add(u[1], u[2]))
        return [self.add(u[0], total), self.half(self.subtract(u[1], u[2])), self.add(total, u[3])]


class _Taps3By2(_Filter):
    taps, stride, side = 3, 2, 5

    def __init__(self, builder: ir.IRBuilder, vector: ir.VectorType):
        super().__init__(builder, vector)
        self.even = _Taps2(builder, vector)

    def of_source(self, d: Values) -> Values:
        return self.even.of_source(d[0::2]) + d[1::2]

    def of_weight(self, g: Values) -> Values:
        return [*self.even.of_weight(g[0::2]), g[1], g[1]]

    def to_output(self, m: Values) -> Values:
        return self.add_each(self.even.to_output(m[:3]), m[3:])

    def of_gradient(self, y: Values) -> Values:
        return self.even.of_gradient(y) + y

    def to_weight(self, u: Values) -> Values:
        first, last = self.even.to_weight(u[:3])
        return [first, self.add(u[3], u[4]), last]


class _Taps5(_Filter):
    taps, side = 5, 7

    def __init__(self, builder: ir.IRBuilder, vector: ir.VectorType):
        super().__init__(builder, vector)
        self.first, self.last = _Taps3(builder, vector), _Taps2(builder, vector)

    def of_source(self, d: Values) -> Values:
        return self.first.of_source(d[:4]) + self.last.of_source(d[3:])

    def of_weight(self, g: Values) -> Values:
        return self.first.of_weight(g[:3]) + self.last.of_weight(g[3:])

    def to_output(self, m: Values) -> Values:
        return self.add_each(self.first.to_output(m[:4]), self.last.to_output(m[4:]))

    def of_gradient(self, y: Values) -> Values:
        return self.first.of_gradient(y) + self.last.of_gradient(y)

    def to_weight(self, u: Values) -> Values:
        return self.first.to_weight(u[:4]) + self.last.to_weight(u[4:])


# The filters of windows, by their kind.
KINDS = (_Taps3, _Taps3By2, _Taps5)
