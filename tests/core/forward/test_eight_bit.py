"""8-bit arithmetic, as onnxruntime and TensorFlow Lite do it.

The files of onnxruntime are run in `tests/formats/onnx`, those of TensorFlow Lite in
`tests/test_golden.py`; here, what they do not show.
"""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lstmcli
from lstmcli.core.forward import equations
from lstmcli.core.forward.equations import round_to_8_bits
from lstmcli.errors import UserError
from tests.cli.conftest import SAMPLE
from tests.core.explain.reference import sigmoid
from tests.recorded import GOLDEN, held

Array = np.ndarray[Any, Any]
FILE = str(GOLDEN / "onnx_files" / "quantized.onnx")


def rounded(a: Array) -> Array:
    """Through the integers: uint8 with a scale and a zero point over a range with 0."""
    low, high = np.float32(min(a.min(), 0)), np.float32(max(a.max(), 0))
    scale = np.float32((high - low) / np.float32(255)) if high > low else np.float32(1)
    zero = int(np.rint(np.clip(-low / scale, 0, 255)))
    q = np.clip(np.rint(a.astype(np.float32) / scale) + zero, 0, 255).astype(np.uint8)
    result: Array = (q.astype(np.int32) - zero).astype(np.float32) * scale
    return result


@pytest.mark.parametrize("shift", [-3.0, 0.0, 0.4, 5.0])
def test_numbers_are_those_that_unsigned_bytes_stand_for(shift: float) -> None:
    numbers = np.random.default_rng(1).normal(shift, 1, (40, 7)).astype(np.float32)
    np.testing.assert_array_equal(round_to_8_bits(numbers), rounded(numbers))
    assert not round_to_8_bits(np.zeros((2, 3), np.float32)).any()


def through_int8(a: Array, asymmetric: bool) -> Array:
    """The numbers of one sequence through Python's integers, as the C++ of TensorFlow Lite does."""
    f4 = np.float32
    if not asymmetric:
        largest = f4(np.abs(a).max())
        if not largest:
            return a
        scale, zero, lowest = f4(largest / f4(127)), 0, -127
        inverse = f4(f4(127) / largest)
    else:
        low, high = min(float(a.min()), 0.0), max(float(a.max()), 0.0)
        if low == high:
            return a
        wide = (high - low) / 255
        from_low = 128 + abs(low / wide) < 127 + abs(high / wide)
        exact = -128 - low / wide if from_low else 127 - high / wide
        zero = max(
            -128, min(127, math.floor(abs(exact) + 0.5) * (1 if exact > 0 else -1))
        )
        scale, lowest = f4(wide), -128
        inverse = f4(f4(1) / scale)
    numbers = []
    for value in a:
        shifted = float(f4(f4(zero) + f4(value * inverse)))
        whole = math.floor(abs(shifted) + 0.5) * (1 if shifted > 0 else -1)
        numbers.append((max(lowest, min(127, whole)) - zero) * scale)
    return np.array(numbers, f4)


@pytest.mark.parametrize("arithmetic", ["hybrid", "hybrid_asymmetric"])
@pytest.mark.parametrize("shift", [-3.0, 0.0, 0.4, 5.0])
def test_numbers_of_a_sequence_are_those_that_signed_bytes_stand_for(
    arithmetic: str, shift: float
) -> None:
    cell = lstmcli.load(str(SAMPLE / "weights.npz"), arithmetic=arithmetic).cell
    numbers = np.random.default_rng(1).normal(shift, 1, (9, 40)).astype(np.float32)
    numbers[3], numbers[4] = 0, np.round(numbers[4], 1)
    expected = [through_int8(row, arithmetic != "hybrid") for row in numbers]
    np.testing.assert_array_equal(equations.rounded(cell, numbers, 1), expected)
    np.testing.assert_array_equal(equations.rounded(cell, numbers.T, 0).T, expected)
    halves = np.array(
        [[127, 0.5, -0.5, 1.5, -2.5]], np.float32
    )  # in units of the scale
    if arithmetic == "hybrid":
        assert equations.rounded(cell, halves, 1).tolist() == [[127, 1, -1, 2, -3]]


@pytest.mark.parametrize("arithmetic", ["hybrid", "hybrid_asymmetric"])
def test_each_sequence_has_its_scales(arithmetic: str) -> None:
    """A batch of 200, in blocks and on threads, gives what each sequence gives alone."""
    model = lstmcli.load(
        str(SAMPLE / "weights.npz"), arithmetic=arithmetic, dtype="float32"
    )
    x = (
        np.random.default_rng(7)
        .normal(size=(200, 9, model.cell.inputs))
        .astype(np.float32)
    )
    trace = lstmcli.run(model, x, layout="batch")
    with ThreadPoolExecutor(2) as pool:
        threaded = lstmcli.run(model, x, layout="batch", executor=pool)
    np.testing.assert_array_equal(threaded.h, trace.h)
    for n in (0, 77, 199):
        alone = lstmcli.run(model, x[n : n + 1], layout="batch").h[0]
        # the sums of products are rounded in another order, which may move a number by a level
        assert np.abs(alone - trace.h[n]).max() < 0.01
        assert np.median(np.abs(alone - trace.h[n])) < 1e-6


@pytest.mark.parametrize("arithmetic", ["hybrid", "hybrid_asymmetric"])
def test_an_infinite_input_stays_in_its_sequence_and_warns_of_nothing(
    arithmetic: str,
) -> None:
    x = np.random.default_rng(5).normal(size=(2, 3, 4))
    model = lstmcli.load(SAMPLE / "weights.npz", arithmetic=arithmetic, dtype="float32")
    finite = lstmcli.run(model, x, layout="batch").h
    x[0, 0, 0] = 1e300  # beyond float32
    infinite = lstmcli.run(model, x, layout="batch").h
    assert np.isnan(infinite[0]).any()
    np.testing.assert_array_equal(infinite[1], finite[1])


@pytest.mark.parametrize("batch", [1, 3, 200])
def test_a_run_rounds_inputs_once_and_h_at_each_step(batch: int) -> None:
    """A batch has one scale, however large it is."""
    model = lstmcli.load(str(SAMPLE / "weights.npz"), arithmetic="8bit")
    cell = model.cell
    x = (
        np.random.default_rng(batch)
        .normal(size=(batch, 9, cell.inputs))
        .astype(np.float32)
    )
    kernel, recurrent = cell.kernel.astype(float), cell.recurrent_kernel.astype(float)
    bias = cell.bias.astype(float)
    bias[1] += cell.convention.behaviour.forget_bias
    operand = rounded(x)
    h = c = np.zeros((batch, cell.units))
    for t in range(9):
        z = np.einsum("khi,bi->kbh", kernel, operand[:, t])
        z += np.einsum("khi,bi->kbh", recurrent, rounded(h)) + bias[:, None]
        c = sigmoid(z[1]) * c + sigmoid(z[0]) * np.tanh(z[2])
        h = sigmoid(z[3]) * np.tanh(c)
    trace = lstmcli.run(model, x, layout="batch")
    np.testing.assert_allclose(trace.final_h, h, atol=2e-5)
    plain = lstmcli.run(lstmcli.load(str(SAMPLE / "weights.npz")), x, layout="batch")
    assert np.abs(plain.final_h - h).max() > 1e-4
    with ThreadPoolExecutor(2) as pool:
        threaded = lstmcli.run(model, x, layout="batch", executor=pool)
    np.testing.assert_array_equal(threaded.h, trace.h)
    np.testing.assert_array_equal(lstmcli.run(model, x, "h", layout="batch").h, trace.h)


def test_float_arithmetic_rounds_neither() -> None:
    recorded = held("onnx_files/quantized")
    x, theirs = recorded["inputs"], recorded["h"]
    ours = lstmcli.run(lstmcli.load(FILE), x, layout="time").h
    plain = lstmcli.run(lstmcli.load(FILE, arithmetic="float"), x, layout="time").h
    assert np.abs(ours.reshape(theirs.shape) - theirs).max() < 1e-6
    assert np.abs(plain.reshape(theirs.shape) - theirs).max() > 1e-3


def test_commands_without_8_bit_arithmetic_name_the_way_out(tmp_path: Path) -> None:
    model = lstmcli.load(FILE)
    x = np.ones((4, model.cell.inputs), np.float32)
    with pytest.raises(UserError, match=r"Try arithmetic=.float"):
        lstmcli.derive(model, x, step=0, unit=0, cell="layer0")
