"""The matrices of Winograd's minimal filtering along one axis, as sums of vectors in LLVM IR.

winograd.h has the formula and its source. Two adjacent outputs take the source pixels d of a piece and the
taps g: y = Aᵀ [(G g) ∘ (Bᵀ d)]. The gradient by g is the adjoint, Gᵀ [(A dy) ∘ (Bᵀ d)]. The taps of a window
are in runs, each with places of its own. Aᵀ goes by a place's role alone: it adds the first place of a run to
the first output, the second to the second, the third to both, and the fourth to the first, taking it from
the second. So what places of equal roles make is one sum.
"""

from __future__ import annotations

from collections import namedtuple
from itertools import product

from llvmlite import ir

from fastnn.kernels.numba_kernels.vector_ir import constant

Values = list[ir.Value]

# The runs of windows: the taps of each phase of the stride, cut into threes and twos, the longest first.
_RUNS = (
    (range(3),),
    (range(0, 3, 2), range(1, 3, 2)),
    (range(0, 4, 2), range(1, 4, 2)),
    (range(3), range(3, 5)),
    (range(0, 5, 2), range(1, 5, 2)),
)

# A kind of windows. Along an axis they have `taps`, pieces have `piece` pixels and are `step` apart, and
# `counts` places have each of the `roles`. `weights`, `places` and `sums` count those of both axes.
Kind = namedtuple("Kind", "number taps stride piece step roles counts weights places sums")


def _kind(number: int, runs: tuple[range, ...]) -> Kind:
    taps, stride, roles = sum(map(len, runs)), runs[0].step, len(runs[0]) + 1
    counts = tuple(sum(role <= len(run) for run in runs) for role in range(4))  # n taps have n + 1 places
    return Kind(
        number, taps, stride, taps + stride, 2 * stride, roles, counts, taps**2, sum(counts) ** 2, roles**2
    )  # fmt: skip


KINDS = tuple(_kind(number, runs) for number, runs in enumerate(_RUNS))


class Matrices:
    """Those of a kind of windows, whose sums the builder writes.

    The places along an axis are in the order of their roles. `of_sums` has the places (down, along) of each
    sum.
    """

    def __init__(self, kind: Kind, builder: ir.IRBuilder, vector: ir.VectorType):
        self._add, self._subtract, self._multiply = builder.fadd, builder.fsub, builder.fmul
        self._one_half = constant(vector, 0.5)
        self.kind, self._runs = kind, _RUNS[kind.number]
        self._along = [(role, run) for role in range(kind.roles) for run in range(kind.counts[role])]
        self.side = len(self._along)
        of_roles = [
            [i for i, (of_role, _) in enumerate(self._along) if of_role == role] for role in range(kind.roles)
        ]
        self.of_sums = [list(product(down, along)) for down, along in product(of_roles, repeat=2)]

    def of_source(self, d: Values) -> Values:
        """Bᵀ d"""
        return self._by_role([self._run_of_source(len(run), d[run.start :: run.step]) for run in self._runs])

    def of_weight(self, g: Values) -> Values:
        """G g"""
        return self._by_role([self._run_of_weight([g[tap] for tap in run]) for run in self._runs])

    def to_output(self, m: Values) -> Values:
        """Aᵀ m, from the sums of each role."""
        first, second, both, *differences = m
        to_first = to_second = both
        for difference in differences:
            to_first, to_second = self._add(both, difference), self._subtract(both, difference)
        return [self._add(first, to_first), self._add(to_second, second)]

    def of_gradient(self, y: Values) -> Values:
        """A y, for each role."""
        return [*y, self._add(*y), self._subtract(*y)][: self.kind.roles]

    def to_weight(self, u: Values) -> Values:
        """Gᵀ u"""
        g = {}
        for k, run in enumerate(self._runs):
            places = [x for x, (_, of_run) in zip(u, self._along, strict=True) if of_run == k]
            g.update(zip(run, self._run_to_weight(*places), strict=True))
        return [g[tap] for tap in range(self.kind.taps)]

    def _by_role(self, of_runs: list[Values]) -> Values:
        return [of_runs[run][role] for role, run in self._along]

    def _half(self, x: ir.Value) -> ir.Value:
        return self._multiply(self._one_half, x)

    def _run_of_source(self, taps: int, d: Values) -> Values:
        add, subtract = self._add, self._subtract
        if taps == 1:
            return d[:2]
        if taps == 2:
            return [subtract(d[0], d[1]), subtract(d[2], d[1]), d[1]]
        return [subtract(d[0], d[2]), subtract(d[3], d[1]), add(d[1], d[2]), subtract(d[2], d[1])]

    def _run_of_weight(self, g: Values) -> Values:
        ends = [g[0], g[-1]]
        if len(g) == 1:
            return ends
        total = self._add(*ends)
        if len(g) == 2:
            return [*ends, total]
        return [*ends, self._half(self._add(total, g[1])), self._half(self._subtract(total, g[1]))]

    def _run_to_weight(self, first: ir.Value, second: ir.Value, *others: ir.Value) -> Values:
        if not others:
            return [self._add(first, second)]
        if len(others) == 1:
            return [self._add(first, others[0]), self._add(others[0], second)]
        to_ends = self._half(self._add(*others))
        return [self._add(first, to_ends), self._half(self._subtract(*others)), self._add(to_ends, second)]
