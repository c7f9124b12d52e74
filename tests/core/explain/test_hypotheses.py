"""Hypotheses as rows of codes, and sets of changes."""

from __future__ import annotations

from typing import Any

import numpy as np

from lstmcli.core.explain.causes import COLUMNS, ORDERS, SOLVE
from lstmcli.core.explain.hypotheses import (
    Change,
    SingleChanges,
    Space,
    conventions_with,
    rank,
    spelled_out,
)
from lstmcli.core.explain.simulator import permutation
from lstmcli.core.model.conventions import CONVENTIONS
from lstmcli.core.model.settings import SETTINGS, read_setting
from lstmcli.core.weights.decode import to_blocks


def assumed(**other: Any) -> dict[str, Any]:
    values = {name: column[0] for name, column in COLUMNS.items()}
    orders = dict.fromkeys(("kernel_gates", "recurrent_gates", "bias_gates"), "igfo")
    plain = {"recurrent_activation": "sigmoid", "activation": "tanh", "output_activation": "tanh"}
    return {**values, **orders, **plain, "forget_bias": 1.0, **other}


def test_every_value_of_every_setting_is_there() -> None:
    by_setting: dict[str, set[Any]] = {}
    for setting, value in Space(assumed()).singles:
        by_setting.setdefault(setting, set()).add(value)
    assert len(by_setting["gates"]) == len(by_setting["recurrent_gates"]) == 23
    assert by_setting["forget_bias"] == {0.0, SOLVE}
    assert by_setting["transposed"] == {
        "kernel", "recurrent", "both", "reshaped_kernel", "reshaped_recurrent", "reshaped_both"
    }  # fmt: skip
    assert "tanh" in by_setting["output_activation"], "beside a changed activation"


def test_a_rare_order_of_one_tensor_is_a_change_by_itself_in_a_network() -> None:
    spaces = {name: Space(assumed()) for name in ("layer0", "layer1")}
    singles = SingleChanges([[name] for name in spaces], spaces)
    rare, known = (singles.changes.index((Change("bias_gates", o),)) for o in ("ofgi", "iofg"))
    assert len(singles.sets(1)) == len(singles)
    assert rare not in singles.sets(2)
    assert known in singles.sets(2)


def test_every_change_can_be_typed() -> None:
    for setting, value in Space(assumed()).singles:
        if value != SOLVE and setting != "array":
            assert setting in SETTINGS
            assert read_setting(setting, value, "here") == value


def test_sets_never_contain_a_setting_twice() -> None:
    singles = SingleChanges([["layer0"]], {"layer0": Space(assumed())})
    pairs = singles.sets(2)
    for pair in pairs[::97]:
        one, other = singles.of(pair, 0.5)
        assert one.setting != other.setting
    assert not (singles.constant[pairs] >= 0).all(axis=1).any(), "one constant is solved for"
    sizes = np.unique([one.setting for (one,) in singles.changes], return_counts=True)[1]
    two_constants = 6  # of the forget bias and three clips
    assert len(pairs) == (len(singles) ** 2 - (sizes**2).sum()) // 2 - two_constants


def test_pairs_of_some_changes_are_those_of_all_that_contain_one() -> None:
    spaces = {name: Space(assumed()) for name in ("layer0", "layer0_reverse")}
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
    space = Space(assumed())
    singles = SingleChanges([["layer0"]], {"layer0": space})
    changes = (Change("gates", "iofg"),), (Change("recurrent_gates", "ifgo"),)
    codes = singles.codes("layer0", np.array([[singles.changes.index(one) for one in changes]]))
    for tensor, order in (("kernel", "iofg"), ("recurrent", "ifgo")):
        name = f"{tensor}_gates"
        assert space.values[name][codes[0, [*COLUMNS].index(name)]] == order


def test_what_is_left_out_and_barred() -> None:
    space = Space(assumed(), ["coupled"], [Change("bias", "input_only")])
    assert "coupled" not in {single.setting for single in space.singles}
    assert Change("bias", "input_only") not in space.singles


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


def test_a_whole_row_ranks_before_an_odd_change() -> None:
    tf1 = CONVENTIONS["tf1"]
    keras1 = (
        Change("gates", "ifgo"),
        Change("recurrent_activation", "hard_sigmoid_0.2"),
        Change("forget_bias", 0.0),
    )
    assert "keras1" in conventions_with(keras1, tf1)
    odd = (Change("gates", "ofgi"), *keras1[1:])
    assert rank(keras1, tf1) < rank(odd, tf1)
