"""Hypotheses as rows of codes, and sets of changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lstmcli.api.load import load
from lstmcli.core.diff.tolerance import Numbers
from lstmcli.core.explain.causes import COLUMNS, ORDERS, SOLVE, Change, spelled_out
from lstmcli.core.explain.cell_changes import single_changes, values_from
from lstmcli.core.explain.exactness import as_printed
from lstmcli.core.explain.hypotheses import SingleChanges, conventions_with, rank
from lstmcli.core.explain.locations import Location, locations
from lstmcli.core.explain.observation import (
    Allowance,
    Expected,
    KnownValues,
)
from lstmcli.core.explain.tensors import permutation
from lstmcli.core.explain.wording import location_text
from lstmcli.core.model.conventions import CONVENTIONS
from lstmcli.core.model.model import Model
from lstmcli.core.model.settings import SETTINGS, read_setting
from lstmcli.core.weights.storage import to_blocks
from tests.core.explain.asking import write as write_cell
from tests.core.explain.reference import random_net


def assumed(**other: Any) -> dict[str, Any]:
    values = {name: column[0] for name, column in COLUMNS.items()}
    orders = dict.fromkeys(("kernel_gates", "recurrent_gates", "bias_gates"), "igfo")
    plain = {
        "recurrent_activation": "sigmoid",
        "activation": "tanh",
        "output_activation": "tanh",
    }
    return {**values, **orders, **plain, "forget_bias": 1.0, **other}


def test_every_value_of_every_setting_is_there() -> None:
    by_setting: dict[str, set[Any]] = {}
    for setting, value in single_changes(values_from(assumed())):
        by_setting.setdefault(setting, set()).add(value)
    assert len(by_setting["gates"]) == len(by_setting["recurrent_gates"]) == 23
    assert by_setting["forget_bias"] == {0.0, SOLVE}
    assert by_setting["transposed"] == {
        "kernel", "recurrent", "both", "reshaped_kernel", "reshaped_recurrent", "reshaped_both"
    }  # fmt: skip
    assert "tanh" in by_setting["output_activation"], "beside a changed activation"


def test_a_rare_order_of_one_tensor_is_a_change_by_itself_in_a_network() -> None:
    spaces = {
        name: single_changes(values_from(assumed())) for name in ("layer0", "layer1")
    }
    singles = SingleChanges([[name] for name in spaces], spaces)
    rare, known = (
        singles.changes.index((Change("bias_gates", o),)) for o in ("ofgi", "iofg")
    )
    assert len(singles.sets(1)) == len(singles)
    assert rare not in singles.sets(2)
    assert known in singles.sets(2)


def test_every_change_can_be_typed() -> None:
    for setting, value in single_changes(values_from(assumed())):
        if value != SOLVE and setting != "array":
            assert setting in SETTINGS
            assert read_setting(setting, value, "here") == value


def test_sets_never_contain_a_setting_twice() -> None:
    singles = SingleChanges(
        [["layer0"]], {"layer0": single_changes(values_from(assumed()))}
    )
    pairs = singles.sets(2)
    for pair in pairs[::97]:
        one, other = singles.of(pair, 0.5)
        assert one.setting != other.setting
    assert not (singles.constant[pairs] >= 0).all(axis=1).any(), (
        "one constant is solved for"
    )
    sizes = np.unique([one.setting for (one,) in singles.changes], return_counts=True)[
        1
    ]
    two_constants = 6  # of the forget bias and three clips
    assert len(pairs) == (len(singles) ** 2 - (sizes**2).sum()) // 2 - two_constants


def test_pairs_of_some_changes_are_those_of_all_that_contain_one() -> None:
    spaces = {
        name: single_changes(values_from(assumed()))
        for name in ("layer0", "layer0_reverse")
    }
    singles = SingleChanges([[*spaces]], spaces)
    order = np.roll(np.arange(len(singles)), -70)
    every = singles.sets(2)
    some = [one for one in order if one in every][
        :3
    ]  # not the orders that are changes by themselves
    expected = every[np.isin(every, some).any(axis=1)]
    found = singles.pairs(order, 3)
    assert {*map(tuple, found.tolist())} == {*map(tuple, expected.tolist())}
    assert len(found) == len(expected)


def test_a_special_setting_is_stronger_than_a_general_one() -> None:
    values = values_from(assumed())
    singles = SingleChanges([["layer0"]], {"layer0": single_changes(values)})
    changes = (Change("gates", "iofg"),), (Change("recurrent_gates", "ifgo"),)
    codes = singles.codes(
        "layer0", np.array([[singles.changes.index(one) for one in changes]])
    )
    for tensor, order in (("kernel", "iofg"), ("recurrent", "ifgo")):
        name = f"{tensor}_gates"
        assert values[name][codes[0, [*COLUMNS].index(name)]] == order


def test_settings_that_are_left_out_or_excluded_are_not_searched() -> None:
    barred = Change("bias", "input_only")
    singles = single_changes(values_from(assumed()), ["coupled"], [barred])
    assert "coupled" not in {single.setting for single in singles}
    assert barred not in singles


def test_a_permutation_is_what_decoding_does() -> None:
    rows = np.arange(8.0)[:, None]  # 4 gates of 2 units
    for was in ("igfo", "iofg"):
        for order in ORDERS:
            blocks = to_blocks(rows, was)[list(permutation(was, order))]
            np.testing.assert_array_equal(blocks, to_blocks(rows, order))


def test_a_given_output_activation_follows_a_changed_activation() -> None:
    given = {"output_activation": "tanh"}
    assert spelled_out({"activation": "relu"}, given)["output_activation"] == "relu"
    kept = spelled_out({"activation": "relu", "output_activation": "tanh"}, given)
    assert kept["output_activation"] == "tanh"
    assert "output_activation" not in spelled_out({"activation": "relu"}, {})


def test_all_settings_of_a_convention_rank_before_an_unusual_change() -> None:
    tf1 = CONVENTIONS["tf1"]
    keras1 = (
        Change("gates", "ifgo"),
        Change("recurrent_activation", "hard_sigmoid_0.2"),
        Change("forget_bias", 0.0),
    )
    assert "keras1" in conventions_with(keras1, tf1)
    odd = (Change("gates", "ofgi"), *keras1[1:])
    assert rank(keras1, tf1) < rank(odd, tf1)


# ---- EXPECTED located on a run, its tolerances, and numbers that were rounded


Array = np.ndarray[Any, Any]

T, B, H = 7, 3, 2
WHOLE = np.arange(T * B * H, dtype=float).reshape(T, B, H) + 1


@pytest.fixture
def cell(tmp_path: Path) -> Model:
    return load(
        write_cell(random_net(np.random.default_rng(0), 3, H), tmp_path / "cell.npz", 3)
    )


def located(
    array: Array,
    model: Model,
    layout: str = "time",
    name: str = "h",
    size: tuple[int, int] = (T, B),
) -> list[tuple[Location, Expected]]:
    numbers = {name: Numbers(array)}
    found, _ = locations(numbers, model, layout, size)
    return [(one, one.expected(numbers)) for one in found]


def test_a_line_for_each_row_is_the_last_state_rather_than_steps_of_one(
    cell: Model,
) -> None:
    (first, expected), *others = located(WHOLE[-1], cell)
    assert location_text(first) == "EXPECTED is interpreted as the last h"
    np.testing.assert_array_equal(expected.arrays["final_h"].values, WHOLE[-1])
    assert any("the first 3 of 7 steps" in location_text(one) for one, _ in others)
    assert "steps" in location_text(located(WHOLE[: B - 1, 0], cell)[0][0])


def test_differing_values_are_counted_by_the_tolerance() -> None:
    values = np.array([[1.0, 1.0 + 1e-9], [2.0, 0.5]])
    one = Expected({"final_h": KnownValues(values, np.zeros((2, 2)))})
    assert one.distinct(Allowance(1e-6, 0.0)) == 3


def test_numbers_that_were_rounded_have_the_digits_as_their_units() -> None:
    rng = np.random.default_rng(3)
    exact = rng.normal(0, 0.4, (7, 3))
    for places in (1, 2, 4, 6):
        for dtype in (np.float32, np.float64):
            rounded = np.round(exact.astype(dtype), places)
            rounded[0, 0] = np.nan
            for unit in (
                None,
                np.where(np.isnan(rounded), np.inf, 0.0),
            ):  # NaN, or left out
                printed, digits = as_printed({"h": Numbers(rounded, unit)})
                assert digits == places
                wanted = 10.0**-places + (0.0 if unit is None else unit)
                np.testing.assert_allclose(
                    np.asarray(printed["h"].unit), np.broadcast_to(wanted, (7, 3))
                )


def test_small_numbers_have_as_many_digits_before_an_exponent() -> None:
    """As `lstm run --digits` writes them; where all are multiples of one unit, that is it."""
    rng = np.random.default_rng(3)
    h = np.round(rng.normal(0, 0.4, (7, 3)), 3)
    h[0] = -2.299e-05, 0.0, 8.863e-06
    printed, digits = as_printed({"h": Numbers(h), "c": Numbers(h[1:])})
    assert digits == 3
    wanted = np.full((7, 3), 1e-3)
    wanted[0, [0, 2]] = 1e-8, 1e-9
    np.testing.assert_allclose(np.asarray(printed["h"].unit), wanted)
    np.testing.assert_allclose(np.asarray(printed["c"].unit), wanted[1:])
    five = np.round(rng.normal(0, 0.4, (7, 3)), 5)
    five[0, 0] = 2e-5
    np.testing.assert_allclose(
        np.asarray(as_printed({"h": Numbers(five)})[0]["h"].unit), np.full((7, 3), 1e-5)
    )


@pytest.mark.parametrize(
    "values",
    [
        np.random.default_rng(4).normal(0, 0.4, (7, 3)).astype(np.float32),
        np.round(np.random.default_rng(4).normal(0, 40, (7, 3))),  # integers
        np.array([[0.5, 0.25], [0.125, -0.75]]),  # of any format
        np.array([[0.1234, 0.0]]),  # one number: by chance
        np.zeros((3, 2)),
    ],
)
def test_numbers_that_were_not_rounded_are_exact(values: Array) -> None:
    assert as_printed({"h": Numbers(values)})[0]["h"].unit is None
