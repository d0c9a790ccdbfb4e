"""The kernel list: one row a kernel, followed by both backends, the programs, the tests and the bench.

Every kernel, in either backend and either dtype, is one C function of one signature::

    void kernel(real **t, const int64 *n, const double *s, int64 thread, int64 threads)

`t` holds the operands' addresses in the row's order (`reads`, then `writes`; an absent optional operand
is NULL), `n` the sizes and flags, `s` the scalars. Operands are C-contiguous and of the kernel's dtype
unless the row says otherwise (`classes:int64`). With `threads` > 1 the kernel computes share number
`thread` of its outputs; an output element is always computed whole by one thread in one fixed order, so
results don't depend on `threads`. Operands may alias only where the row says "in place".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Operand:
    """An operand of a kernel: its name, whether it may be absent, and its dtype (None: the kernel's)."""

    name: str
    optional: bool = False
    dtype: str | None = None

    @classmethod
    def parse(cls, text: str) -> Operand:
        name, _, dtype = text.partition(":")
        return cls(name.rstrip("?"), name.endswith("?"), dtype or None)


@dataclass(frozen=True)
class Kernel:
    """One row: the kernel's name, operands, sizes, scalars, formula and cost.

    `cost` maps the sizes, by name, to the number of multiply-adds (or of elements, for kernels bound
    by memory): an estimate from which a program chooses its number of threads.
    """

    name: str
    reads: tuple[Operand, ...]
    writes: tuple[Operand, ...]
    sizes: tuple[str, ...]
    scalars: tuple[str, ...]
    formula: str
    cost: Callable[[dict[str, int]], int]

    @property
    def operands(self) -> tuple[Operand, ...]:
        return self.reads + self.writes


def _kernel(
    name: str,
    *,
    reads: str,
    writes: str,
    sizes: str,
    scalars: str = "",
    formula: str,
    cost: Callable[[dict[str, int]], int],
) -> Kernel:
    operands = (tuple(map(Operand.parse, text.split())) for text in (reads, writes))
    return Kernel(name, *operands, tuple(sizes.split()), tuple(scalars.split()), formula, cost)


def _matmul_cost(n: dict[str, int]) -> int:
    return (n["m"] + 3) * n["n"] * n["k"]  # for one row, reading b takes four times as long as multiplying


def _size_cost(n: dict[str, int]) -> int:
    return 4 * n["size"]  # loading and storing takes longer than a multiply-add


def _table_cost(n: dict[str, int]) -> int:
    return 4 * n["rows"] * n["columns"]


def _conv2d_cost(n: dict[str, int]) -> int:
    outputs = n["n"] * n["filters"] * n["out_h"] * n["out_w"]
    return outputs * (n["c"] // n["groups"]) * n["r"] * n["s"]


def _pool2d_cost(n: dict[str, int]) -> int:
    return n["planes"] * n["out_h"] * n["out_w"] * n["r"] * n["s"]


def _batch_norm_cost(n: dict[str, int]) -> int:
    return 4 * n["rows"] * n["channels"] * n["inner"]


# x (n, c, h, w), weight (filters, c / groups, r, s), y (n, filters, out_h, out_w);
# y[i, f, p, q] = bias[f] + Σ x[i, g·c/groups + e, p·stride_h − pad_top + u·dilation_h,
# q·stride_w − pad_left + v·dilation_w] weight[f, e, u, v] over e, u, v, zero outside x.
_CONV2D_SIZES = (
    "n c h w filters r s stride_h stride_w pad_top pad_left dilation_h dilation_w groups out_h out_w"
)
# The same with strides and groups of 1, then windows of pool x pool outputs. With x_blocks x and dx have 16
# images along the last axis, (n / 16 rounded up, c, h w + 1, 16), zeros in place of those that aren't there
# and the last pixel unused; with y_blocks y and dy likewise.
_CONV2D_POOL_SIZES = _CONV2D_SIZES + " pool x_blocks y_blocks"
# x (planes, h, w), y (planes, out_h, out_w), windows of r x s.
_POOL2D_SIZES = "planes h w r s stride_h stride_w pad_top pad_left out_h out_w"
# step[0] is this step's learning rate, step[1] the number of the step, counted from 1.
_STEP = "step:float64"

KERNELS: dict[str, Kernel] = {
    kernel.name: kernel
    for kernel in (
        # --- algebra ------------------------------------------------------------------------------
        _kernel(
            "matmul",
            reads="a b",
            writes="c",
            sizes="m n k a_row_stride a_column_stride b_row_stride b_column_stride",
            formula="c (m, n) = a (m, k) b (k, n); strides in elements, one of a's and one of b's being 1",
            cost=_matmul_cost,
        ),
        _kernel(
            "linear",
            reads="x weight bias?",
            writes="y",
            sizes="m k n relu",
            formula="y (m, n) = x (m, k) weight (k, n) + bias (n,); max(y, 0) if relu",
            cost=_matmul_cost,
        ),
        _kernel(
            "linear_backward_input",
            reads="dy weight mask?",
            writes="dx",
            sizes="m k n",
            formula="dx (m, k) = dy (m, n) weight (k, n)ᵀ, times 1[mask > 0] (m, k) where given",
            cost=_matmul_cost,
        ),
        _kernel(
            "linear_backward_weight",
            reads="x dy",
            writes="dweight dbias?",
            sizes="m k n",
            formula="dweight (k, n) = x (m, k)ᵀ dy (m, n); dbias (n,) = Σ over rows of dy",
            cost=_matmul_cost,
        ),
        # --- activations --------------------------------------------------------------------------
        _kernel(
            "relu",
            reads="x",
            writes="y",
            sizes="size",
            formula="y = max(x, 0); in place allowed",
            cost=_size_cost,
        ),
        _kernel(
            "relu_backward",
            reads="dy y",
            writes="dx",
            sizes="size",
            formula="dx = dy · 1[y > 0]; in place allowed",
            cost=_size_cost,
        ),
        _kernel(
            "sigmoid",
            reads="x",
            writes="y",
            sizes="size",
            formula="y = 1 / (1 + e^−x); in place allowed",
            cost=lambda n: 8 * n["size"],
        ),
        _kernel(
            "sigmoid_backward",
            reads="dy y",
            writes="dx",
            sizes="size",
            formula="dx = dy y (1 − y); in place allowed",
            cost=_size_cost,
        ),
        _kernel(
            "tanh",
            reads="x",
            writes="y",
            sizes="size",
            formula="y = tanh(x); in place allowed",
            cost=lambda n: 8 * n["size"],
        ),
        _kernel(
            "tanh_backward",
            reads="dy y",
            writes="dx",
            sizes="size",
            formula="dx = dy (1 − y²); in place allowed",
            cost=_size_cost,
        ),
        _kernel(
            "softmax",
            reads="x",
            writes="y",
            sizes="rows columns",
            formula="y[i, j] = e^x[i, j] / Σ_j e^x[i, j]; in place allowed",
            cost=_table_cost,
        ),
        _kernel(
            "softmax_backward",
            reads="dy y",
            writes="dx",
            sizes="rows columns",
            formula="dx[i, j] = y[i, j] (dy[i, j] − Σ_j dy[i, j] y[i, j]); in place allowed",
            cost=_table_cost,
        ),
        _kernel(
            "log_softmax",
            reads="x",
            writes="y",
            sizes="rows columns",
            formula="y[i, j] = x[i, j] − log Σ_j e^x[i, j]; in place allowed",
            cost=_table_cost,
        ),
        _kernel(
            "dropout",
            reads=f"x {_STEP}",
            writes="y",
            sizes="size seed stream",
            scalars="rate",
            formula="y[i] = x[i] / (1 − rate) where random(seed, stream, step[1], i) ≥ rate, else 0; "
            "its own backward pass; in place allowed",
            cost=lambda n: 4 * n["size"],
        ),
        # --- losses: `loss` holds one value a row -------------------------------------------------
        _kernel(
            "log_loss_binary",
            reads="p y",
            writes="loss",
            sizes="rows columns",
            formula="loss[i] = mean over j of −y log p − (1 − y) log(1 − p), with 0 log 0 = 0",
            cost=_table_cost,
        ),
        _kernel(
            "log_loss_binary_backward",
            reads="p y",
            writes="dp",
            sizes="rows columns",
            scalars="scale",
            formula="dp = scale (−y / p + (1 − y) / (1 − p)), a term with a zero numerator being 0",
            cost=_table_cost,
        ),
        _kernel(
            "log_loss_binary_with_logits",
            reads="z y weight?",
            writes="loss? a? dz?",
            sizes="rows columns",
            scalars="scale",
            formula="a = sigmoid(z); loss[i] = weight[i] · mean over j of max(z, 0) − z y + log(1 + e^−|z|); "
            "dz = scale weight[i] (a − y)",
            cost=_table_cost,
        ),
        _kernel(
            "log_loss_classes",
            reads="p classes:int64",
            writes="loss",
            sizes="rows columns",
            formula="loss[i] = −log p[i, classes[i]]",
            cost=lambda n: n["rows"],
        ),
        _kernel(
            "log_loss_classes_backward",
            reads="p classes:int64",
            writes="dp",
            sizes="rows columns",
            scalars="scale",
            formula="dp[i, j] = −scale / p[i, j] where j = classes[i], else 0",
            cost=_table_cost,
        ),
        _kernel(
            "log_loss_classes_with_logits",
            reads="z classes:int64 weight?",
            writes="loss? a? dz?",
            sizes="rows columns",
            scalars="scale",
            formula="a = softmax(z); loss[i] = weight[i] (log Σ_j e^z[i, j] − z[i, classes[i]]); "
            "dz = scale weight[i] (a − 1[j = classes[i]])",
            cost=_table_cost,
        ),
        _kernel(
            "squared_error",
            reads="a y weight?",
            writes="loss? da?",
            sizes="rows columns",
            scalars="scale",
            formula="loss[i] = weight[i] · mean over j of (a − y)²; da = scale · 2 weight[i] (a − y)",
            cost=_table_cost,
        ),
        # --- convolution and pooling --------------------------------------------------------------
        _kernel(
            "conv2d_naive",
            reads="x weight bias?",
            writes="y",
            sizes=_CONV2D_SIZES,
            formula="the cross-correlation above, as plain loops: the definition",
            cost=_conv2d_cost,
        ),
        _kernel(
            "conv2d_naive_backward",
            reads="dy x weight",
            writes="dx? dweight? dbias?",
            sizes=_CONV2D_SIZES,
            formula="the gradients of conv2d_naive by x, weight and bias, as plain loops",
            cost=lambda n: 2 * _conv2d_cost(n),
        ),
        _kernel(
            "conv2d",
            reads="x weight bias?",
            writes="y",
            sizes=_CONV2D_SIZES + " relu",
            formula="conv2d_naive, fast; max(y, 0) if relu",
            cost=_conv2d_cost,
        ),
        _kernel(
            "conv2d_backward_input",
            reads="dy weight mask?",
            writes="dx",
            sizes=_CONV2D_SIZES,
            formula="the gradient of conv2d by x, times 1[mask > 0] (n, c, h, w) where given",
            cost=_conv2d_cost,
        ),
        _kernel(
            "conv2d_backward_weight",
            reads="x dy",
            writes="dweight dbias?",
            sizes=_CONV2D_SIZES,
            formula="the gradients of conv2d by weight and bias",
            cost=_conv2d_cost,
        ),
        _kernel(
            "conv2d_max_pool2d",
            reads="x weight bias?",
            writes="y place?:uint8",
            sizes=_CONV2D_POOL_SIZES + " relu",
            formula="y = conv2d, max(·, 0) of it if relu, then max_pool2d of windows side by side, of pool x "
            "pool pixels; place (n / 16 rounded up, filters, out_h / pool, out_w / pool, 16) is that of the "
            "maximum in its window, in row order, or, if relu, 255 where y isn't positive",
            cost=_conv2d_cost,
        ),
        _kernel(
            "conv2d_max_pool2d_backward_input",
            reads="dy place:uint8 weight mask?",
            writes="dx",
            sizes=_CONV2D_POOL_SIZES,
            formula="the gradient of conv2d_max_pool2d by x, times 1[mask > 0] (n, c, h, w) where given; "
            "with x_blocks none is",
            cost=_conv2d_cost,
        ),
        _kernel(
            "conv2d_max_pool2d_backward_weight",
            reads="x dy place:uint8",
            writes="dweight dbias?",
            sizes=_CONV2D_POOL_SIZES,
            formula="the gradients of conv2d_max_pool2d by weight and bias",
            cost=_conv2d_cost,
        ),
        _kernel(
            "max_pool2d",
            reads="x",
            writes="y",
            sizes=_POOL2D_SIZES,
            formula="y = the maximum of each window of x, padding apart; a NaN in the window wins",
            cost=_pool2d_cost,
        ),
        _kernel(
            "max_pool2d_backward",
            reads="dy x",
            writes="dx",
            sizes=_POOL2D_SIZES + " relu",
            formula="dx = the sum of dy over the windows whose maximum is here: the first in row order, "
            "or the last NaN; times 1[x > 0] if relu, x being a ReLU's result",
            cost=_pool2d_cost,
        ),
        _kernel(
            "avg_pool2d",
            reads="x",
            writes="y",
            sizes=_POOL2D_SIZES,
            formula="y = Σ of each window of x / (r s), padding counted as zeros",
            cost=_pool2d_cost,
        ),
        _kernel(
            "avg_pool2d_backward",
            reads="dy",
            writes="dx",
            sizes=_POOL2D_SIZES,
            formula="dx = Σ of dy over the windows that cover x here / (r s)",
            cost=_pool2d_cost,
        ),
        # --- normalization: x (rows, channels, inner), one mean and variance a channel ----------------
        _kernel(
            "batch_norm",
            reads="x gamma beta",
            writes="y mean inv_std running_mean running_var",
            sizes="rows channels inner",
            scalars="eps momentum",
            formula="y = gamma (x − mean) inv_std + beta, inv_std = 1 / √(var + eps); "
            "running = (1 − momentum) running + momentum (mean, or var · count / (count − 1))",
            cost=_batch_norm_cost,
        ),
        _kernel(
            "batch_norm_backward",
            reads="dy x gamma mean inv_std",
            writes="dx dgamma dbeta",
            sizes="rows channels inner",
            formula="x̂ = (x − mean) inv_std; dbeta = Σ dy; dgamma = Σ dy x̂; "
            "dx = gamma inv_std (dy − (dbeta + x̂ dgamma) / count)",
            cost=_batch_norm_cost,
        ),
        _kernel(
            "batch_norm_inference",
            reads="x gamma beta running_mean running_var",
            writes="y",
            sizes="rows channels inner",
            scalars="eps",
            formula="y = gamma (x − running_mean) / √(running_var + eps) + beta",
            cost=lambda n: n["rows"] * n["channels"] * n["inner"],
        ),
        _kernel(
            "fold_batch_norm",
            reads="weight bias gamma beta running_mean running_var",
            writes="folded_weight folded_bias",
            sizes="channels inner",
            scalars="eps",
            formula="scale = gamma / √(running_var + eps); folded_weight (channels, inner) = scale weight; "
            "folded_bias = scale (bias − running_mean) + beta",
            cost=lambda n: n["channels"] * n["inner"],
        ),
        # --- optimizers: one pass over the flat vectors -----------------------------------------------
        _kernel(
            "sgd",
            reads=f"gradient {_STEP}",
            writes="theta velocity?",
            sizes="size nesterov",
            scalars="momentum weight_decay",
            formula="g = gradient + weight_decay theta; v = momentum v + g; "
            "theta −= lr (g + momentum v if nesterov, else v)",
            cost=lambda n: 3 * n["size"],
        ),
        _kernel(
            "adam",
            reads=f"gradient {_STEP}",
            writes="theta m v",
            sizes="size decoupled",
            scalars="beta1 beta2 eps weight_decay",
            formula="theta −= lr weight_decay theta if decoupled, else gradient += weight_decay theta; "
            "m = beta1 m + (1 − beta1) g; v = beta2 v + (1 − beta2) g²; "
            "theta −= lr m / (1 − beta1^t) / (√(v / (1 − beta2^t)) + eps)",
            cost=lambda n: 8 * n["size"],
        ),
    )
}
