"""The matrices of Winograd's minimal filtering along one axis, as sums of vectors in LLVM IR.

winograd.h has the formula and its source. Two adjacent outputs take the source pixels d of a piece and the
taps g: y = Aᵀ [(G g) ∘ (Bᵀ d)]. The gradient by g is the adjoint, Gᵀ [(A dy) ∘ (Bᵀ d)]. The taps of a window
are in runs, each with places of its own. Aᵀ goes by a place's role alone: it adds the first place of a run to
the first output, the second to the second, the third to both, and the fourth to the first, taking it from
the second. So what places of equal roles make is one sum.

Back to x through a stride, the source is dy with zeros between its pixels. A run meets pixels of dy for the
outputs of one phase alone: a tile has two of each phase, and equal roles of other phases are other sums.
"""

from __future__ import annotations

from collections import Counter, namedtuple
from itertools import accumulate, compress, pairwise, product

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

# The fewest channels and filters for which the products save more than the transforms cost, of each kind.
_LEAST, _LEAST_BACK = (16, 32, 16, 16, 16), (16, 4, 4, 16, 4)
# Along an axis.
_MOST_SUMS = 7

# A kind of windows. Along an axis they have `taps`, tiles have `tile` outputs, pieces have `piece` pixels and
# are `step` apart, and each of the `roles`, those of all phases, has `counts` places. `weights`, `places` and
# `sums` count those of both axes. `stride` is that of the convolution, `through` what its gradient by x goes
# back through, else 1: then the first tap of a tile lies `lead` before a pixel of the source.
Kind = namedtuple(
    "Kind", "number taps stride through lead tile piece step roles counts weights places sums least"
)


class KindBack(Kind):
    """A kind of the gradient by x, another type: so a kernel has the transforms that it may take alone."""


# The taps of a run, the phase of the outputs that meet them, and the pixels of a piece where these do.
_Run = namedtuple("_Run", "taps phase pixels")
# Their order is that of the places: those of a sum lie beside each other.
_Place = namedtuple("_Place", "phase role run")


def _lead(taps: int, through: int) -> int:
    """Of a tile that begins at the first output where a plane has the usual padding, (taps − 1) // 2."""
    return taps // 2 % through


def _runs(number: int, through: int) -> list[_Run]:
    result, lead = [], _lead(sum(map(len, _RUNS[number])), through)
    for taps in _RUNS[number]:
        phase, apart = (taps.start + lead) % through, taps.step // through
        begin = (taps.start + phase - lead) // through
        result.append(_Run(taps, phase, range(begin, begin + (len(taps) + 1) * apart, apart)))
    return result


def _places(runs: list[_Run]) -> list[_Place]:
    """Those along an axis: a run has one more than it has taps."""
    return sorted(
        _Place(run.phase, role, i) for i, run in enumerate(runs) for role in range(len(run.taps) + 1)
    )


def _kind(of: type[Kind], number: int, through: int, least: int) -> Kind:
    runs = _runs(number, through)
    taps, stride = sum(len(run.taps) for run in runs), runs[0].taps.step
    counts = Counter((place.phase, place.role) for place in _places(runs)).values()
    return of(
        number=number, taps=taps, stride=stride, through=through, lead=_lead(taps, through), tile=2 * through,
        piece=max(run.pixels[-1] for run in runs) + 1, step=2 * stride // through, roles=len(counts),
        counts=(*counts, *[0] * (_MOST_SUMS - len(counts))), weights=taps**2, places=sum(counts) ** 2,
        sums=len(counts) ** 2, least=least,
    )  # fmt: skip


# Kinds of the convolution and its gradient by weight, and of that by x.
KINDS = tuple(_kind(Kind, number, 1, least) for number, least in enumerate(_LEAST))
KINDS_BACK = tuple(
    _kind(KindBack, number, KINDS[number].stride, least) for number, least in enumerate(_LEAST_BACK)
)


class Matrices:
    """Those of a kind of windows, whose sums the builder writes.

    The places along an axis are in the order of their phases and roles. `of_sums` has the places (down,
    along) of each sum.
    """

    def __init__(self, kind: Kind, builder: ir.IRBuilder, vector: ir.VectorType):
        self._add, self._subtract, self._multiply = builder.fadd, builder.fsub, builder.fmul
        self._one_half = constant(vector, 0.5)
        self.kind, self._runs = kind, _runs(kind.number, kind.through)
        self._along = _places(self._runs)
        self.side = len(self._along)
        # Along an axis: the phase of each sum, and its places.
        ends = list(accumulate(kind.counts[: kind.roles]))
        self._phases = [self._along[end - 1].phase for end in ends]
        of_roles = [range(begin, end) for begin, end in pairwise([0, *ends])]
        self.of_sums = [list(product(down, along)) for down, along in product(of_roles, repeat=2)]

    def of_source(self, d: Values) -> Values:
        """Bᵀ d"""
        return self._by_role([self._run_of_source([d[pixel] for pixel in run.pixels]) for run in self._runs])

    def of_weight(self, g: Values) -> Values:
        """G g"""
        return self._by_role([self._run_of_weight([g[tap] for tap in run.taps]) for run in self._runs])

    def to_output(self, m: Values) -> Values:
        """Aᵀ m, from the sums of each phase and role."""
        y, through = [None] * self.kind.tile, self.kind.through
        for phase in range(through):
            y[phase::through] = self._phase_to_output(*compress(m, (of == phase for of in self._phases)))
        return y

    def of_gradient(self, y: Values) -> Values:
        """A y, for each role."""
        return [*y, self._add(*y), self._subtract(*y)][: self.kind.roles]

    def to_weight(self, u: Values) -> Values:
        """Gᵀ u"""
        g = {}
        for k, run in enumerate(self._runs):
            places = compress(u, (place.run == k for place in self._along))
            g.update(zip(run.taps, self._run_to_weight(*places), strict=True))
        return [g[tap] for tap in range(self.kind.taps)]

    def _by_role(self, of_runs: list[Values]) -> Values:
        return [of_runs[place.run][place.role] for place in self._along]

    def _half(self, x: ir.Value) -> ir.Value:
        return self._multiply(self._one_half, x)

    def _run_of_source(self, d: Values) -> Values:
        add, subtract = self._add, self._subtract
        if len(d) == 2:
            return d
        if len(d) == 3:
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

    def _phase_to_output(self, first: ir.Value, second: ir.Value, *others: ir.Value) -> Values:
        if not others:
            return [first, second]
        to_first = to_second = others[0]
        for difference in others[1:]:
            to_first, to_second = self._add(to_first, difference), self._subtract(to_second, difference)
        return [self._add(first, to_first), self._add(to_second, second)]

    def _run_to_weight(self, first: ir.Value, second: ir.Value, *others: ir.Value) -> Values:
        if not others:
            return [self._add(first, second)]
        if len(others) == 1:
            return [self._add(first, others[0]), self._add(others[0], second)]
        to_ends = self._half(self._add(*others))
        return [self._add(first, to_ends), self._half(self._subtract(*others)), self._add(to_ends, second)]
