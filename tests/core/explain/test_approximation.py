"""Where explain says that sigmoid or tanh is approximated worst."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from lstmcli.api.explain import asked_of, question_of
from lstmcli.api.job import InputOptions
from lstmcli.core.explain.approximation import approximated
from lstmcli.core.explain.placement import Placement
from lstmcli.core.explain.setups import setups
from tests.core.diff.test_hints import fast_tanh, int8
from tests.core.explain import reference

Array = np.ndarray[Any, Any]


def fast_sigmoid(z: Array) -> Array:
    return 0.5 + 0.5 * fast_tanh(z / 2)


@pytest.mark.parametrize(
    ("function", "port"), [("tanh", fast_tanh), ("sigmoid", fast_sigmoid), ("", None)]
)
def test_the_function_and_where_it_is_worst_are_named(
    monkeypatch: pytest.MonkeyPatch, function: str, port: Callable[[Array], Array]
) -> None:
    rng = np.random.default_rng(1)
    net, x = reference.random_net(rng, 8, 32), rng.normal(size=(16, 3, 8))
    weights = {"lstm/kernel": net.kernel, "lstm/bias": net.bias}
    exact = reference.ACTIVATIONS
    if function:
        z = np.linspace(0, 5, 1001)
        off = np.abs(port(z) - exact[function](z))
        monkeypatch.setitem(reference.ACTIVATIONS, function, port)
    else:  # another cause of small differences
        net.kernel = int8(net.kernel)
    h = reference.outputs(net, x, {})["h"]
    given = {"convention": "tf1", "forget_bias": 0.0, "layout": "batch"}
    asked = asked_of(weights, x, h, InputOptions(None, None, None), given)
    setup = next(setups(question_of(asked.job, asked.side)))
    remarks = list(approximated(Placement(setup, setup.located()[0][0], ()).case))
    assert [one.facts["function"] for one in remarks] == [function][: len(function)]
    for one in remarks:
        assert abs(one.facts["z"] - z[off.argmax()]) <= 0.5
        assert one.facts["error"] == pytest.approx(off.max(), rel=0.2)
