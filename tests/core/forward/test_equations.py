"""The step of any cell: each part against its equation, and none of them against the plain step."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from lstmcli import run
from lstmcli.core.forward.equations import Parts, Peepholes, clip_to, step
from lstmcli.core.forward.equations import sigmoid as s
from lstmcli.core.model.model import Model
from tests.core.explain.reference import Array, Net, outputs
from tests.networks import model_of, random_net

T, B, I, H, P = 5, 4, 6, 3, 2


def by_hand(model: Model, x: Array, **truth: Any) -> dict[str, Array]:
    """The outputs of a plain loop with a cell's weights, each (T, B, ...) for x (T, B, I)."""
    cell = model.cell
    fused = np.concatenate(
        [cell.kernel, cell.recurrent_kernel], axis=2
    )  # (4, H, I + P)
    net = Net(
        fused.transpose(2, 0, 1).reshape(-1, 4 * H), cell.bias.ravel(), peepholes=cell.peephole,
        projection=None if cell.projection is None else cell.projection.T,
        projection_bias=cell.projection_bias,
    )  # fmt: skip
    arrays = outputs(net, x.swapaxes(0, 1), {"gates": "ifgo", **truth})
    return {name: array.swapaxes(0, 1) for name, array in arrays.items() if name != "z"}


FUNCTIONS: dict[str, Any] = {
    "softsign": lambda z: z / (1 + np.abs(z)),
    "elu(0.7)": lambda z: np.where(z < 0, 0.7 * (np.exp(z) - 1), z),
}
CASES: dict[str, dict[str, Any]] = {
    "gate clip": {"gate_clip": 0.3},
    "cell clip": {"cell_clip": 0.2},
    "projection clip": {"projection_clip": 0.1},
    "f=1-i": {"coupled": "f=1-i"},
    "i=1-f": {"coupled": "i=1-f"},
    "hard sigmoid 0.2": {"recurrent_activation": "hard_sigmoid_0.2"},
    "hard sigmoid 1/6": {"recurrent_activation": "hard_sigmoid_1_6"},
    "tanh gates": {"recurrent_activation": "tanh"},
    "relu": {"activation": "relu"},
    "output identity": {"output_activation": "identity"},
    "softsign and elu": {
        "activation": "softsign", "output_activation": "elu(0.7)", "cell_clip": 9.0
    },
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_each_part_is_its_equation(case: str) -> None:
    setting = CASES[case]
    rng = np.random.default_rng(5)
    model = model_of(random_net(rng, I, H), **setting)
    x = rng.normal(size=(T, B, I))
    trace = run(model, x, layout="time")
    truth = {name: FUNCTIONS.get(value, value) for name, value in setting.items()}
    for name, expected in by_hand(model, x, **truth).items():
        np.testing.assert_allclose(
            trace.arrays[name], expected, atol=1e-14, err_msg=name
        )
    plain = run(model_of(random_net(np.random.default_rng(5), I, H)), x, layout="time")
    assert np.abs(plain.h - trace.h).max() > 1e-4, "the part must change something"


@pytest.mark.parametrize("old", ["new_c", "old_c"])
def test_peepholes_and_projection_together(old: str) -> None:
    rng = np.random.default_rng(6)
    model = model_of(random_net(rng, I, H), cell_clip=0.5)
    cell = replace(
        model.cell,
        recurrent_kernel=rng.normal(size=(4, H, P)),
        peephole=rng.normal(size=(3, H)),
        projection=rng.normal(size=(P, H)),
        projection_bias=rng.normal(size=P),
        convention=model.convention.with_behaviour(
            output_peephole=old, projection_clip=0.9
        ),
    )
    model = replace(model, layers=((cell,),))
    x = rng.normal(size=(T, B, I))
    trace = run(model, x, layout="time")
    assert trace.h.shape == (T, B, P)
    truth = {"peepholes": old, "cell_clip": 0.5, "projection_clip": 0.9}
    for name, expected in by_hand(model, x, **truth).items():
        np.testing.assert_allclose(
            trace.arrays[name], expected, atol=1e-14, err_msg=name
        )


def test_limits_and_flags_may_differ_from_column_to_column() -> None:
    """A column is a sequence in a run, a hypothesis in a search."""
    rng = np.random.default_rng(8)
    R = 4
    z, c, p = (
        rng.normal(size=(4, H, R)) * 3,
        rng.normal(size=(H, R)),
        rng.normal(size=(3, H, 1)),
    )
    limits, old = (
        np.array([0.2, np.inf, 0.7, np.inf]),
        np.array([True, False, False, True]),
    )

    def parts(limit: Any, old: Any) -> Parts:
        peepholes = Peepholes(lambda k, c: p[k] * c, "new_c", old)
        return Parts(
            s, s, s, np.tanh, np.tanh, clip_to(limit), clip_to(limit), peepholes=peepholes
        )  # fmt: skip

    gates = z.copy()
    h, c_new = step(gates, c, parts(limits, old))
    for r in range(R):
        one = z[:, :, [r]].copy()
        one_h, one_c = step(one, c[:, [r]], parts(limits[r], old[[r]]))
        np.testing.assert_array_equal(one_h, h[:, [r]])
        np.testing.assert_array_equal(one_c, c_new[:, [r]])
        np.testing.assert_array_equal(one, gates[:, :, [r]])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("width", [1, 2, 3, 4, 8, 16])
def test_the_sigmoid_of_a_column_changes_only_that_column(
    width: int, dtype: Any
) -> None:
    """As `numpy.negative` of NumPy 2.4 does not, if four float32 or eight float64 are a row."""
    x = np.random.default_rng(0).normal(size=(9, width)).astype(dtype)
    array = x.copy()
    s(array[:, 0], array[:, 0])
    np.testing.assert_array_equal(array[:, 1:], x[:, 1:])
    np.testing.assert_allclose(
        array[:, 0], 1 / (1 + np.exp(-x[:, 0].copy())), rtol=1e-6
    )
