"""Deriving y: the terms add up to the run's number, beside the framework's."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import lstmcli
from lstmcli.core.model.surroundings import Dense, Head
from lstmcli.errors import UserError
from tests.golden_models import recorded
from tests.networks import model_of, random_net


@pytest.mark.parametrize(
    ("case", "step"),
    [
        ("keras_embedding_softmax", -1),
        ("keras_directions_each", 2),
        ("keras_directions_last", -1),
        ("keras_two_dense", -1),
        ("tf_keras_mean_pooling", -1),
    ],
)
def test_each_output_is_the_framework_s(case: str, step: int) -> None:
    weights, arrays, _ = recorded(case)
    name = "y" if "y" in arrays else "final_y"
    expected = arrays[name][1, step, 3] if name == "y" else arrays[name][1, 3]
    found = lstmcli.derive(
        weights,
        arrays["inputs"],
        step,
        3,
        batch=1,
        array="y",
        layout="batch",
        against={name: arrays[name]},
    )
    line = found.line("y")
    np.testing.assert_allclose(line.value, expected, rtol=0, atol=1e-6)
    assert line.theirs == expected
    assert line.agrees
    total = float(found.sums["y"].total)
    np.testing.assert_allclose(found.line("z_y").value, total, rtol=1e-6)


def test_another_bias_is_found_at_y() -> None:
    weights, arrays, _ = recorded("keras_dense")
    other = {"final_y": arrays["final_y"] + 0.5}
    found = lstmcli.derive(
        weights, arrays["inputs"], -1, 0, array="y", layout="batch", against=other
    )
    assert found.first_difference == found.line("y")


def test_y_has_no_gates_and_needs_a_head() -> None:
    model = model_of(random_net(np.random.default_rng(0), 2, 3))
    x = np.ones((4, 2))
    with pytest.raises(UserError, match="no head"):
        lstmcli.derive(model, x, 0, 0, array="y")
    head = Head((Dense("fc", np.ones((3, 1))),))
    with pytest.raises(UserError, match="made of h"):
        lstmcli.derive(replace(model, head=head), x, 0, 0, "f", array="y")
    only = Head((Dense("softmax", activation="softmax"),))
    with pytest.raises(UserError, match="no dense layer"):
        lstmcli.derive(replace(model, head=only), x, 0, 0, array="y")
