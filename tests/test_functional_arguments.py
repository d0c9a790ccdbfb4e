"""What holds for every function alike: memory layouts, dtypes, `out`, inputs left as they were."""

import numpy as np
import pytest
from arrays import LAYOUTS
from compare import assert_close, assert_identical, assert_same_bits

import fastnn.functional as F
from fastnn.checks import contiguous

pytestmark = pytest.mark.usefixtures("backend")

_rng = np.random.default_rng(0)


def _normal(*shape):
    return _rng.normal(size=shape)


_P = _rng.uniform(0.1, 0.9, size=(6, 4))
_IMAGE, _FILTERS = _normal(2, 3, 8, 9), _normal(4, 3, 3, 3)
_DY = _normal(2, 4, 8, 9)

# One call of each function: the function, its arrays by name, its other arguments.
CALLS = {
    "matmul": (F.matmul, {"a": _normal(6, 5), "b": _normal(5, 7)}, {}),
    "matmul, transposed": (
        F.matmul,
        {"a": _normal(5, 6), "b": _normal(7, 5)},
        {"transpose_a": True, "transpose_b": True},
    ),
    "linear": (F.linear, {"x": _normal(6, 5), "weight": _normal(5, 7), "bias": _normal(7)}, {}),
    "linear_backward": (
        F.linear_backward,
        {"dy": _normal(6, 7), "x": _normal(6, 5), "weight": _normal(5, 7)},
        {},
    ),
    "relu": (F.relu, {"x": _normal(6, 5)}, {}),
    "relu_backward": (F.relu_backward, {"dy": _normal(6, 5), "y": _normal(6, 5)}, {}),
    "sigmoid": (F.sigmoid, {"x": _normal(6, 5)}, {}),
    "sigmoid_backward": (F.sigmoid_backward, {"dy": _normal(6, 5), "y": _normal(6, 5)}, {}),
    "tanh": (F.tanh, {"x": _normal(6, 5)}, {}),
    "tanh_backward": (F.tanh_backward, {"dy": _normal(6, 5), "y": _normal(6, 5)}, {}),
    "softmax": (F.softmax, {"x": _normal(6, 5)}, {}),
    "softmax_backward": (F.softmax_backward, {"dy": _normal(6, 5), "y": _normal(6, 5)}, {}),
    "log_softmax": (F.log_softmax, {"x": _normal(6, 5)}, {}),
    "log_loss": (F.log_loss, {"p": _P, "y": _P.round()}, {}),
    "log_loss, classes": (F.log_loss, {"p": _P, "y": np.array([0, 3, 1, 2, 2, 0])}, {}),
    "log_loss_backward": (F.log_loss_backward, {"p": _P, "y": _P.round()}, {}),
    "log_loss_backward, classes": (F.log_loss_backward, {"p": _P, "y": np.array([0, 3, 1, 2, 2, 0])}, {}),
    "log_loss_with_logits": (F.log_loss_with_logits, {"z": _normal(6, 4), "y": _P.round()}, {}),
    "log_loss_with_logits_backward": (
        F.log_loss_with_logits_backward,
        {"z": _normal(6, 4), "y": _P.round()},
        {},
    ),
    "conv2d": (F.conv2d, {"x": _IMAGE, "weight": _FILTERS, "bias": _normal(4)}, {"padding": 1}),
    "conv2d_naive": (F.conv2d_naive, {"x": _IMAGE, "weight": _FILTERS, "bias": _normal(4)}, {"padding": 1}),
    "conv2d_backward": (F.conv2d_backward, {"dy": _DY, "x": _IMAGE, "weight": _FILTERS}, {"padding": 1}),
    "conv2d_naive_backward": (
        F.conv2d_naive_backward,
        {"dy": _DY, "x": _IMAGE, "weight": _FILTERS},
        {"padding": 1},
    ),
    "max_pool2d": (F.max_pool2d, {"x": _IMAGE}, {"kernel_size": 2}),
    "max_pool2d_backward": (
        F.max_pool2d_backward,
        {"dy": _normal(2, 3, 4, 4), "x": _IMAGE},
        {"kernel_size": 2},
    ),
    "avg_pool2d": (F.avg_pool2d, {"x": _IMAGE}, {"kernel_size": 2}),
    "avg_pool2d_backward": (
        F.avg_pool2d_backward,
        {"dy": _normal(2, 3, 4, 4), "x": _IMAGE},
        {"kernel_size": 2},
    ),
}
every_call = pytest.mark.parametrize(("function", "arrays", "options"), CALLS.values(), ids=CALLS)
ONE_RESULT = {
    name: call
    for name, call in CALLS.items()
    if name.split(",")[0]
    not in ("linear_backward", "conv2d_backward", "conv2d_naive_backward", "log_loss", "log_loss_with_logits")
}
every_one_result = pytest.mark.parametrize(
    ("function", "arrays", "options"), ONE_RESULT.values(), ids=ONE_RESULT
)


def rounded(arrays, dtype):
    """The arrays in `dtype`, classes aside."""
    return {name: x.astype(dtype) if x.dtype.kind == "f" else x for name, x in arrays.items()}


def results(value):
    return value if isinstance(value, tuple) else (value,)


def test_every_function_is_here():
    assert {name.split(",")[0] for name in CALLS} == set(F.__all__)


@every_call
def test_layouts_and_unchanged_inputs(dtype, function, arrays, options):
    arrays = rounded(arrays, dtype)
    expected = results(function(**arrays, **options))
    for layout, lay_out in LAYOUTS.items():
        for name in arrays:
            given = {each: x.copy() for each, x in arrays.items()} | {name: lay_out(arrays[name])}
            for actual, right in zip(results(function(**given, **options)), expected, strict=True):
                assert_same_bits(np.asarray(actual), np.asarray(right), f"{layout} {name}")
            for each, x in given.items():
                assert_identical(x, arrays[each], f"{each} after a call with {layout} {name}")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_kernels_get_aligned_rows(dtype, layout):
    """A kernel sees an aligned C-contiguous array of its dtype: the caller's own, if that is one."""
    array = LAYOUTS[layout](np.arange(12, dtype=dtype).reshape(3, 4))
    operand = contiguous(array, dtype)
    assert operand.flags.c_contiguous
    assert operand.flags.aligned
    assert operand.dtype == dtype
    assert_identical(operand, array)
    assert (operand is array) == (layout in ("read-only", "offset"))


@every_call
def test_lists_count_as_float64(function, arrays, options):
    expected = results(function(**arrays, **options))
    lists = {name: x.tolist() for name, x in arrays.items()}
    for actual, right in zip(results(function(**lists, **options)), expected, strict=True):
        assert_same_bits(np.asarray(actual), np.asarray(right))


@every_call
def test_mixed_dtypes_follow_numpy(function, arrays, options):
    """Float32 beside float64 is computed in float64. The labels of a loss don't count."""
    is_loss = "log_loss" in function.__name__
    deciding = [name for name in arrays if not (is_loss and name == "y")]
    single = rounded(arrays, np.float32)
    for name in deciding:
        mixed = single | {name: arrays[name]}
        for result in results(function(**mixed, **options)):
            assert np.asarray(result).dtype == np.float64
    if is_loss:
        backward = getattr(F, function.__name__.removesuffix("_backward") + "_backward")
        assert backward(**(single | {"y": arrays["y"]}), **options).dtype == np.float32


@every_call
@pytest.mark.parametrize(
    ("given", "computed"),
    [
        ("float16", "float32"),
        ("int8", "float64"),
        ("uint64", "float64"),
        ("bool", "float64"),
        ("longdouble", "float64"),
    ],
)
def test_other_dtypes(function, arrays, options, given, computed):
    arrays = {name: np.abs(2 * x).astype(given) if x.dtype.kind == "f" else x for name, x in arrays.items()}
    if "log_loss" in function.__name__:
        name = next(iter(arrays))
        arrays[name] = (arrays[name] > 0).astype(given)
        if arrays["y"].shape == arrays[name].shape:
            arrays["y"] = (arrays["y"] > 0).astype(given)
    with np.errstate(divide="ignore"):
        expected = results(function(**rounded({n: x * 1.0 for n, x in arrays.items()}, computed), **options))
        for actual, right in zip(results(function(**arrays, **options)), expected, strict=True):
            assert np.asarray(actual).dtype == np.asarray(right).dtype
            assert_close(actual, right, 1e-6, special_values=True)


@every_call
@pytest.mark.parametrize(
    "wrong",
    [
        lambda x: x.astype(complex),
        lambda x: x.astype(object),
        lambda x: x.astype(str),
        lambda x: x.astype("datetime64[s]"),
        lambda x: [[1.0, 2.0], [3.0]],
        lambda x: None,
        lambda x: "numbers",
        lambda x: object(),
    ],
    ids=["complex", "object", "str", "datetime", "ragged", "None", "a string", "an object"],
)
def test_no_array_of_numbers(function, arrays, options, wrong):
    for name in arrays:
        given = wrong(arrays[name])
        if name == "bias" and given is None:
            continue
        with pytest.raises(TypeError, match=rf"\b{name}\b"):
            function(**(arrays | {name: given}), **options)


@every_one_result
def test_out_is_overwritten_and_returned(dtype, function, arrays, options):
    arrays = rounded(arrays, dtype)
    expected = function(**arrays, **options)
    for layout, lay_out in LAYOUTS.items():
        if layout in ("read-only", "foreign byte order"):
            continue
        out = lay_out(np.full_like(expected, np.nan))
        assert function(**arrays, **options, out=out) is out
        assert_same_bits(out, expected, f"{layout} out")


@every_one_result
def test_out_may_overlap_the_inputs(dtype, function, arrays, options):
    """At its start, its end, and shifted by one element either way."""
    arrays = rounded(arrays, dtype)
    expected = function(**arrays, **options)
    for name, array in arrays.items():
        if array.dtype != dtype:
            continue
        for shift in (0, 1, array.size - 1, expected.size - 1, -1):
            memory = np.zeros(array.size + 2 * expected.size + 2, dtype)
            first, second = (1, 0) if shift < 0 else (0, shift)
            shared = memory[first : first + array.size].reshape(array.shape)
            shared[...] = array
            out = memory[second : second + expected.size].reshape(expected.shape)
            function(**(arrays | {name: shared}), **options, out=out)
            assert_same_bits(out, expected, f"out over {name}, {shift} elements on")


@every_one_result
def test_out_that_does_not_fit(function, arrays, options):
    right = function(**arrays, **options)
    wrong = {
        "shape": right[..., :-1].copy(),
        r"shape \(": right[None],
        "dtype": right.astype(np.float32),
        "dtype .* got int64": right.astype(np.int64),
        "read-only": LAYOUTS["read-only"](right),
        "dtype .* got >f8": LAYOUTS["foreign byte order"](right),
    }
    for message, out in wrong.items():
        before = out.copy()
        with pytest.raises(ValueError, match=f"out must.*{message}"):
            function(**arrays, **options, out=out)
        assert_same_bits(out, before)
    with pytest.raises(TypeError, match="out must be a NumPy array, got list"):
        function(**arrays, **options, out=right.tolist())
