"""The benchmarks' own logic: what counts as the same result, as a difference, and as noise."""

import re
import sys
import time
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # bench/ isn't installed

from bench import accuracy, compare, limits, peers, readme, report, timing, verify, worker
from bench.case import Case, Sweep
from bench.cases import CASES, select
from bench.peers.peer import Peer
from bench.problems.convolution import Conv2D, Conv2DBackward, MaxPool2D
from bench.problems.inference import Inference
from bench.problems.kernels import Elementwise, LinearBackward, LinearReLU, LogLoss, Matmul, Softmax
from bench.problems.networks import Conv, Dense, Network, Pool, dense
from bench.problems.training import Epoch, Search, Training
from bench.results import Results, facts
from bench.spread import Ratio, paired_ratio, slope, unpaired_ratio
from bench.task import Task, Unsupported, named

ROOT = readme.README.parent
BRIEF = timing.Effort(rounds=2, fewest_rounds=2, sample_seconds=1e-4, budget=1)


class TestSpread:
    def test_ratio_is_noise_where_its_spread_exceeds_the_difference(self):
        assert Ratio(1.02, 0.98, 1.06).is_noise
        assert str(Ratio(1.02, 0.98, 1.06)) == "noise"
        assert not Ratio(1.5, 1.4, 1.6).is_noise
        assert str(Ratio(1.5, 1.4, 1.6)) == "1.50x"
        assert str(Ratio(110.4, 100, 120)) == "110x"
        assert Ratio(242, 6.4, 245).is_noise

    def test_ratio_and_its_inverse_agree_on_noise(self):
        for value, low, high in ((2, 1.5, 2.9), (2, 1.5, 3.1), (1.1, 1.05, 1.2)):
            assert Ratio(value, low, high).is_noise == Ratio(1 / value, 1 / high, 1 / low).is_noise

    def test_paired_ratio_cancels_what_disturbs_both(self):
        slow, fast = [[20.0], [60.0], [22.0]], [[10.0], [30.0], [11.0]]
        assert paired_ratio(slow, fast) == Ratio(2, 2, 2)
        assert unpaired_ratio(slow, fast).low < 2 < unpaired_ratio(slow, fast).high

    def test_paired_ratio_needs_the_same_rounds(self):
        with pytest.raises(ValueError, match="shorter"):
            paired_ratio([[1.0], [1.0]], [[1.0]])

    def test_slope(self):
        assert slope([1, 2, 4, 8], [3, 12, 48, 192]) == pytest.approx(2)


class TestVerify:
    WANT = {"y": np.array([1.0, -2.0, 3.0])}  # noqa: RUF012 - nobody changes it
    PROBLEM = Elementwise("relu", 3)

    @pytest.mark.parametrize(
        "got",
        [
            np.zeros(3),
            np.array([1, np.nan, 3]),
            np.array([1, -2, np.inf]),
            np.array([1, 2, 3]),
            np.array([1, -2, 3.001]),
            np.array([[1, -2, 3]]),
        ],
    )
    def test_wrong_result_is_refused(self, got):
        with pytest.raises(verify.WrongResult):
            verify.check(self.PROBLEM, {"y": got}, self.WANT)

    def test_right_result_gives_its_error(self):
        got = (self.WANT["y"] * (1 + 1e-7)).astype(np.float32)
        assert verify.check(self.PROBLEM, {"y": got}, self.WANT)["y"] < 1e-6

    def test_missing_result_is_refused_but_gradients_may_stay_inside(self):
        problem = Training(dense(2, 1), 1, "sgd")
        want = {"gradient W1": np.ones(2), "update W1": np.ones(2)}
        assert verify.check(problem, {"update W1": np.ones(2)}, want) == {"update W1": 0}
        with pytest.raises(verify.WrongResult, match="gives no update W1"):
            verify.check(problem, {"gradient W1": np.ones(2)}, want)

    def test_zeros_are_wanted_exactly(self):
        assert verify.relative_error(np.zeros(2), np.zeros(2)) == 0
        assert verify.relative_error(np.full(2, 1e-30), np.zeros(2)) == np.inf


class TestTiming:
    def test_peers_take_turns_from_a_fresh_state(self):
        turns = []
        tasks = {
            name: Task(
                time.sleep, [(1e-4,)], lambda _: {}, steps=4, begin=lambda name=name: turns.append(name)
            )
            for name in "ab"
        }
        measurements, failures = timing.measure(tasks, BRIEF, 0, with_latencies=True)
        assert failures == {}
        assert "".join(turns) == "ab" + "ab" + "ba"  # calibrated, then timed, each round begun by another
        for measurement in measurements.values():
            assert [len(samples) for samples in measurement.samples] == [timing.SAMPLES] * 2
            assert all(2.5e4 < sample < 2.5e6 for samples in measurement.samples for sample in samples)
            assert all(1e5 < p50 <= p99 for p50, p99 in measurement.latencies)

    def test_a_peer_that_fails_leaves_the_others(self):
        outcomes = iter([1.0] * 20)
        tasks = {
            "fails": Task(lambda: next(outcomes), [()], named("y")),
            "isn't finite": Task(lambda: np.nan, [()], named("y")),
            "works": Task(lambda: 1.0, [()], named("y")),
        }
        measurements, failures = timing.measure(tasks, BRIEF, 0, with_latencies=False)
        assert list(measurements) == ["works"]
        assert "StopIteration" in failures["fails"]
        assert "y isn't finite" in failures["isn't finite"]


class TestLimits:
    LIMITS = {  # noqa: RUF012 - nobody changes it
        "peak": {"float32": 100.0},
        "copy": {"1000": 50.0, "1000000": 10.0},
        "read": {"1000": 100.0, "1000000": 20.0},
    }

    def record(self, **changes):
        facts = {"flops": 0, "bytes_read": 0, "bytes_written": 0, "working_set": 1000, "dtype": "float32"}
        return facts | changes

    def test_the_longer_of_arithmetic_and_traffic_counts(self):
        assert limits.shortest_time(self.LIMITS, self.record(flops=1000)) == pytest.approx(10)
        copied = self.record(bytes_read=400, bytes_written=400)
        assert limits.shortest_time(self.LIMITS, copied) == pytest.approx(16)
        assert limits.shortest_time(self.LIMITS, copied | {"flops": 1000}) == pytest.approx(16)

    def test_what_is_only_read_goes_at_the_speed_of_reading(self):
        assert limits.shortest_time(self.LIMITS, self.record(bytes_read=500)) == pytest.approx(5)

    def test_a_larger_working_set_is_slower(self):
        record = self.record(bytes_read=500, working_set=10**9)
        assert limits.shortest_time(self.LIMITS, record) == pytest.approx(25)

    def test_no_limit(self):
        assert limits.shortest_time(self.LIMITS, self.record()) is None


class TestCases:
    def test_names_are_unique(self):
        assert len({case.name for case in CASES}) == len(CASES)

    def test_selection(self):
        assert {case.group for case in select("training/*,startup/*", quick=True)} == {"training", "startup"}
        assert 0 < len(select(None, quick=True)) < len(select(None, quick=False)) == len(CASES)
        with pytest.raises(ValueError, match=r"--case must match a case .* got 'nothing'"):
            select("nothing", quick=False)

    def test_arithmetic_of_training(self):
        products = 784 * 512 + 512 * 512 + 512 * 10
        assert dense(784, 512, 512, 10).training_flops(256) == 2 * 256 * (3 * products - 784 * 512)

    def test_shapes_of_convolutional_layers(self):
        network = Network("small", (1, 8, 8), (Conv(2, 3), Pool(), Dense(4)))
        assert [after for _, _, after in network.walk()] == [(2, 6, 6), (2, 3, 3), (4,)]
        shapes = {name: array.shape for name, array in network.initial_weights().items()}
        assert shapes == {"W1": (2, 1, 3, 3), "b1": (2,), "W2": (18, 4), "b2": (4,)}


SMALL_CNN = Network("small", (1, 8, 8), (Conv(2, 3, 1), Pool(), Conv(3, 3), Pool(), Dense(5), Dense(3)))
SMALL_PROBLEMS = [
    Matmul(3, 4, 5),
    Matmul(3, 4, 5, transpose_a=True, transpose_b=True, precision="float64"),
    LinearReLU(4, 3, 2),
    LinearBackward(4, 3, 2),
    *(Elementwise(function, 9) for function in ("relu", "sigmoid_backward", "tanh")),
    Softmax("log_softmax", 4, 3),
    LogLoss(5),
    LogLoss(5, 3),
    Conv2D(2, 3, 6, 4, 3, stride=2, padding=1),
    Conv2DBackward(2, 4, 6, 4, 3, groups=2),
    MaxPool2D(2, 3, 4),
    MaxPool2D(2, 3, 4, backward=True),
    Inference(dense(4, 3, 1), 1),
    Inference(dense(4, 3, 3), 2, into=True),
    Training(dense(4, 3, 1), 4, "sgd", batches=12),
    Training(dense(4, 5, 3), 4, "adam", batches=12),
    Training(SMALL_CNN, 4, "adam", batches=12),
    Epoch(dense(4, 5, 3), 4, 30),
    Search(dense(4, 3, 1), rows=10, batch=4, epochs=2, networks=3),
]


@pytest.mark.parametrize("problem", SMALL_PROBLEMS, ids=lambda problem: f"{problem.kind}-{problem.dtype}")
def test_fastnn_agrees_with_the_reference(problem):
    if problem.kind.startswith(("conv2d", "max_pool2d")) or getattr(problem, "network", None) is SMALL_CNN:
        pytest.importorskip("torch", reason="NumPy has no convolution to be the reference")
    record = worker.run(Case("small", problem), {"fastnn-cython": peers.load("fastnn-cython", 1)}, 1, BRIEF)
    entry = record["peers"]["fastnn-cython"]
    assert "reason" not in entry, entry["reason"]
    assert len(entry["samples"]) == BRIEF.rounds


class Liar(Peer):
    """Very fast, and wrong."""

    cannot = {"matmul": "won't"}  # noqa: RUF012 - nobody changes it

    def elementwise(self, problem, inputs):
        return Task(lambda x: np.zeros_like(x), [(data["x"],) for data in inputs], named("result"))

    def softmax(self, problem, inputs):
        raise Unsupported("only on Sundays")


def test_wrong_and_unable_peers_are_said_to_be_so_and_not_timed():
    loaded = {"liar": Liar(1), "numpy": peers.load("numpy", 1)}
    reasons = {}
    for problem in (Elementwise("relu", 9), Softmax("softmax", 2, 3), Matmul(2, 2, 2), LogLoss(3)):
        entries = worker.run(Case("small", problem), loaded, 1, BRIEF)["peers"]
        assert "samples" in entries["numpy"]
        assert "samples" not in entries["liar"]
        reasons[problem.kind] = entries["liar"]["reason"]
    assert reasons.pop("elementwise").startswith("WRONG RESULT: result is off")
    assert reasons == {"softmax": "only on Sundays", "matmul": "won't", "log_loss": "has no such function"}


def test_a_library_that_is_not_installed_makes_its_peer_absent(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    monkeypatch.delitem(sys.modules, "bench.peers.onnx_runtime", raising=False)
    loaded, absent = worker._load(["numpy", "onnxruntime"], 1)
    assert list(loaded) == ["numpy"]
    assert re.match("(ModuleNotFound|Import)Error: .*onnx", absent["onnxruntime"])


def made_up(times, processor="some processor"):
    """Results of made-up cases: name → peer → rounds (ns)."""
    records = []
    for name, peers_samples in times.items():
        sweep = Sweep("growth", "width", float(name.rpartition("/")[2])) if "growth" in name else None
        entries = {peer: {"samples": [[t] for t in rounds]} for peer, rounds in peers_samples.items()}
        case = Case(name, Matmul(10, 10, 10), sweep=sweep)
        records.append(facts(case, 1) | {"peers": entries | {"jax-jit": {"reason": "is away"}}})
    machine = {
        "processor": processor, "cores": 2, "system": "Linux", "python": "3", "date": "2026-01-02T03",
        "commit": "abc", "changed_since_commit": False, "load_before": 0.1,
    }  # fmt: skip
    names = dict.fromkeys(peer for entry in times.values() for peer in entry)
    peers_found = {name: {"version": "1"} for name in names} | {"onnxruntime": {"absent": "No module"}}
    return Results(
        {"machine": machine, "limits": {"1": "not measured"}, "peers": peers_found, "records": records}
    )


class TestReport:
    RESULTS = made_up(
        {
            "training/30-16-8-1/sgd/B=32": {"fastnn-cython": [1000, 1010, 990], "pytorch-eager": [200e3] * 3},
            "matmul/10x10x10": {"fastnn-cython": [100, 100, 100], "numpy": [50, 51, 50]},
            "matmul/20x20x20": {"fastnn-cython": [100, 100, 100], "numpy": [70, 130, 99]},
            "growth/w/10": {"fastnn-cython": [10, 10, 10], "pytorch-eager": [100, 100, 100]},
            "growth/w/100": {"fastnn-cython": [1000, 1000, 1000], "pytorch-eager": [500, 500, 500]},
        }
    )

    def test_summary_says_where_fastnn_loses_and_how_cost_grows(self):
        summary = report.summary(self.RESULTS)
        assert "fastnn-cython loses 2 of 5 compared cases" in summary
        assert "matmul/10x10x10, 1 thread: numpy takes 0.50x as long" in summary
        assert "20x20x20" not in summary
        assert "fastnn-cython 2.00" in summary
        assert "PyTorch is faster at width 100" in summary

    def test_markdown_holds_every_figure_and_every_reason(self):
        text = report.markdown(self.RESULTS)
        assert "| 30-16-8-1/sgd/B=32 | 1.00 µs | 200 µs (200x) |" in text
        assert "99.0 ns (noise)" in text
        assert "jax-jit: is away (training, matmul, growth)" in text
        assert "absent: No module" in text
        assert "1 thread: not measured." in text

    def test_saved_results_are_read_back(self, tmp_path):
        self.RESULTS.save(tmp_path / "new" / "results.json")
        assert report.markdown(Results.load(tmp_path / "new" / "results.json")) == report.markdown(
            self.RESULTS
        )


class TestCompare:
    BEFORE = made_up(
        {
            "matmul/a": {"fastnn-cython": [100, 101, 99], "numpy": [100, 100, 100]},
            "matmul/b": {"fastnn-cython": [100, 120, 80], "numpy": [100, 100, 100]},
            "matmul/gone": {"fastnn-cython": [1, 1, 1]},
        }
    )

    def test_changes_and_noise_and_drift(self):
        after = made_up(
            {
                "matmul/a": {"fastnn-cython": [200, 202, 198], "numpy": [110, 110, 110]},
                "matmul/b": {"fastnn-cython": [105, 125, 85], "numpy": [110, 110, 110]},
                "matmul/new": {"fastnn-cython": [1, 1, 1]},
            },
            "another processor",
        )
        lines = compare.text(self.BEFORE, after).splitlines()
        assert lines[0] == "matmul/a, 1 thread, fastnn-cython: 100 ns → 200 ns, 2.00x the time"
        assert lines[1] == "1 of 2 of fastnn's figures unchanged within noise"
        assert "took 1.10x the time" in lines[2]
        assert lines[3] == "the runs are of different processors"

    def test_the_same_run_is_unchanged(self):
        assert compare.text(self.BEFORE, self.BEFORE).startswith("3 of 3 of fastnn's figures unchanged")


class TestReadme:
    RESULTS = TestReport.RESULTS

    def test_only_the_table_is_rewritten(self):
        text = f"before\n{readme.START}\nold\n{readme.END}\nafter\n"
        new = readme.rewritten(text, self.RESULTS, "bench/results/x.json")
        assert new.startswith(f"before\n{readme.START}\n")
        assert new.endswith(f"{readme.END}\nafter\n")
        assert "| train 30-16-8-1, batch 32, SGD, a step | **1.00 µs** | 200 µs (200x) | – |" in new
        assert "(bench/results/x.json)" in new
        assert "old" not in new
        assert readme.rewritten(new, self.RESULTS, "bench/results/x.json") == new

    @pytest.mark.parametrize(
        "text", ["", readme.START, readme.END + readme.START, 2 * readme.START + readme.END]
    )
    def test_marks_must_be_there(self, text):
        with pytest.raises(ValueError, match="README must hold the marks"):
            readme.rewritten(text, self.RESULTS, "x.json")

    def test_figures_are_those_of_the_committed_results(self):
        text = readme.README.read_text()
        between = text.partition(readme.START)[2].partition(readme.END)[0]
        link = re.search(r"\((bench/results/.+\.json)\)", between)
        if link is None:
            assert between.strip() == "", "README shows figures but no results file"
        else:
            results = Results.load(ROOT / link[1])
            assert readme.rewritten(text, results, link[1]) == text


class TestAccuracy:
    def test_ulp_errors(self):
        one = np.float64(1)
        got = np.array([1, 1 + 2**-23, 1 - 2**-24, np.nan, np.nan, np.inf, 1, 2**-149], np.float32)
        exact = np.array([one, one, one, np.nan, one, 1e300, np.nan, 0])
        want = [0, 1, 0.5, 0, np.inf, 0, np.inf, 1]
        with np.errstate(all="ignore"):
            np.testing.assert_array_equal(accuracy.ulp_errors(got, exact), want)

    def test_scan_covers_all_signs_and_exponents(self):
        for name in accuracy.SCANS:
            worst, _, count = accuracy.scan(name, 10_000_019)
            assert worst <= 3
            assert count > 50
