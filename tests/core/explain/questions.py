"""Questions by name, each of which can be asked by itself.

The first words of a name, up to the second slash, are its group. What is expected comes from the
cell of `reference` or from the records of frameworks in ``tests/golden``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fnmatch import fnmatch
from functools import cache, partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from tests.core.explain import networks, test_goldens, test_halves, test_refusals
from tests.core.explain.asking import FORMS, LARGE, Asking, Cell, asking, printed, whole
from tests.core.explain.matrix import PAIRS, SINGLES, TRIPLES
from tests.core.explain.networks import Truth, name_of
from tests.core.explain.reference import outputs, random_net
from tests.recorded import CASES, read, recorded

Array = np.ndarray[Any, Any]
Question = Callable[[Path], Asking]
"""From a folder for files to what is asked."""

ROWS = (*SINGLES, *PAIRS, *TRIPLES)
PARTS: dict[str, Callable[[Array], Array]] = {
    "first steps": lambda h: h[:, :3],
    "first sequences": lambda h: h[:2],
    "one sequence": lambda h: h[1],
    "all last h": lambda h: h[:, -1],
    "one last h": lambda h: h[1, -1],
}
"""Parts of an output (B, T, H) that people save."""


def _matrix() -> Iterator[tuple[str, Question]]:
    for row in ROWS:
        for form in FORMS:
            for seed in (0, 1):
                name = f"matrix/{form} {seed}/{row.name}"
                yield name, partial(asking, row, form=form, seed=seed)
        if row.name != "act-relu":  # which runs away to infinity at this size
            yield f"matrix/128 units/{row.name}", partial(asking, row, size=LARGE)


def _parts() -> Iterator[tuple[str, Question]]:
    rows = [row for row in ROWS if not row.options]
    for name, part in PARTS.items():
        few = name == "one last h"  # of which a question may take ten seconds
        for row in rows[::6] if few else rows:
            question = partial(asking, row, seed=2, size=(9, 3, 4, 6), part=part)
            yield f"part/{name}/{row.name}", question
    for row in rows:
        question = partial(
            asking, row, form="4 digits", size=(9, 3, 4, 6), part=PARTS["one sequence"]
        )
        yield f"part/4 digits of one sequence/{row.name}", question


def _network(
    folder: Path,
    truth: Truth,
    deep: bool = False,
    sides: int = 0,
    size: tuple[int, int, int, int] | None = None,
    form: str = "float32",
    part: Callable[[Array], Array] = whole,
    states: bool = False,
    kind: str = "",
    **assumed: Any,
) -> Asking:
    """A net of two or four cells; ``kind`` is how its outputs are spoiled."""
    net = networks.Asked(
        folder, 0, name_of(truth) + kind, deep=deep, sides=sides, size=size
    )
    expected: Any = net.expected(truth, "float32" if kind else form, part, states)
    if kind:
        expected = test_refusals.spoiled(kind, np.asarray(expected), net.x, net.rng)
        if form.endswith("digits"):
            expected = printed(expected, int(form.split()[0]), folder / "expected.txt")
    return net.asking(expected, **assumed)


def _networks() -> Iterator[tuple[str, Question]]:
    truth: Truth
    for assumed, truth in (*networks.MERGES, *networks.BOTH_AND_ONE):
        for form in ("float32", "4 digits"):
            name = f"network/merged, {form}/{assumed}, {name_of(truth)}"
            yield name, partial(_network, truth=truth, form=form, merge=assumed)
    for assumed, truth in networks.PAIRS:
        name = f"network/merged and another/{assumed}, {name_of(truth)}"
        yield name, partial(_network, truth=truth, merge=assumed)
    for truth in networks.LAYOUTS:
        for form in FORMS:
            name = f"network/layout/{name_of(truth)}, {form}"
            yield name, partial(_network, truth=truth, form=form)
    for truth in (*networks.DEEP, *networks.PAIRS_OF_CELLS):
        for form in FORMS:
            name = f"network/stacked/{name_of(truth)}, {form}"
            yield name, partial(_network, truth=truth, form=form, deep=True)
    places = networks.PLACES | {"the last step of a row": lambda h: h[1, -1]}
    for deep, truth in networks.ALONE:
        for place, part in places.items():
            name = f"network/part/{place}, {name_of(truth)}, {'stacked' if deep else 'merged'}"
            yield name, partial(_network, truth=truth, deep=deep, part=part)
    for name, given in networks.long():
        yield f"network/long {name}", partial(_network, **given)
    for half, assumed in product((0, 1), ("concat", "sum")):
        yield (
            f"network/one direction/{half}, {assumed}",
            partial(_network, truth={}, part=partial(_half, half), merge=assumed),
        )
    for kind in ("random", "near miss", "zeros"):
        for form in ("float32", "4 digits"):
            for assumed in ("concat", "sum"):
                name = f"network/refused/{kind}, {assumed}, {form}"
                truth = {"merge": assumed}
                yield (
                    name,
                    partial(_network, truth=truth, kind=kind, form=form, merge=assumed),
                )
            name = f"network/refused/{kind}, stacked, {form}"
            yield name, partial(_network, truth={}, kind=kind, form=form, deep=True)


def _half(half: int, h: Array) -> Array:
    return np.split(h, 2, axis=-1)[half]


WRONG_NETWORKS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("torch/two_layers", {"layer1.transposed": "recurrent"}),
    ("torch/two_layers_bidirectional", {"gates": "iofg"}),
    ("onnxruntime/bidirectional", {"layer0_reverse.gates": "ifgo"}),
    ("onnxruntime/bidirectional", {"layer0_reverse.reverse": False}),
    ("keras/bidirectional_sum", {"merge": "ave"}),
    *(
        (f"keras/bidirectional_{merge}", {"merge": "concat", **other})
        for merge in ("sum", "mul", "ave")
        for other in ({}, {"forget_bias": 0.6}, {"layer0_reverse.gates": "figo"})
    ),
    ("keras/mask", {"masked_output": "zero"}),
)


def _goldens() -> Iterator[tuple[str, Question]]:
    for case in CASES:
        framework = case.partition("/")[0]
        for only in ((), ("h",)):
            group = (
                f"golden/{framework}, {'h' if only else 'all'}/{case.partition('/')[2]}"
            )
            yield f"{group}, as loaded", partial(_golden, case, only)
            for number, name in enumerate(
                ("forget bias", "gate activation", "gate order")
            ):
                if name == "gate order" and len(_convention(case).storage.gates) < 4:
                    continue
                yield f"{group}, {name}", partial(_golden, case, only, number=number)
    for case, wrong in WRONG_NETWORKS:
        yield (
            f"golden/networks/{case}, {name_of(wrong)}",
            partial(_golden, case, ("h",), wrong=wrong),
        )
    for case in ("torch/bidirectional_projection", "torch/two_layers_bidirectional"):
        for taken in (
            "the last step",
            "h_n",
            "both last states joined",
            "one direction",
        ):
            for wrong in ({}, {"gates": "iofg"}):
                yield (
                    f"golden/parts/{case}, {taken}, {name_of(wrong) or 'as loaded'}",
                    partial(_golden_part, case, taken, wrong),
                )


def _convention(case: str) -> Any:
    return recorded(case).load().convention


def _golden(
    case: str,
    only: tuple[str, ...],
    folder: Path,
    number: int | None = None,
    wrong: dict[str, Any] | None = None,
) -> Asking:
    """A recorded case; ``number`` is that of one of its three mistakes."""
    if number is not None:
        wrong = test_goldens.mistakes(recorded(case).load())[number]
    return test_goldens.asking(case, wrong or {}, only)


def _golden_part(case: str, taken: str, wrong: dict[str, Any], folder: Path) -> Asking:
    record, arrays = read(case)
    h, h_n = arrays["h"], arrays["final_h"]  # (cells, B, H)
    expected = {
        "the last step": h.take(-1, 1 if record["layout"] == "batch" else 0),
        "h_n": h_n,
        "both last states joined": np.concatenate([h_n[-2], h_n[-1]], axis=-1),
        "one direction": h[..., h.shape[-1] // 2 :],
    }[taken]
    return test_goldens.asking(case, wrong, instead={"": expected})


def _halves() -> Iterator[tuple[str, Question]]:
    for case in test_halves.CASES:
        yield (
            f"half precision/pytorch/{case}",
            partial(test_halves.asking_pytorch, case),
        )
    for name in test_halves.FORMATS:
        for where in ("weights", "states", "inputs", "each"):
            for order in ("ifgo", "iofg"):
                question = partial(_rounded, name, (where,), order)
                yield f"half precision/rounded/{name}, {where}, {order}", question
        for kind in test_halves.KINDS:
            yield (
                f"half precision/something else/{name}, {kind}",
                partial(_not_half, name, kind),
            )


def _rounded(name: str, where: tuple[str, ...], order: str, folder: Path) -> Asking:
    net = test_halves.Net(1, 2, 9, 4, 5)
    rounded: dict[str, Any] = dict.fromkeys(where, test_halves.rounder(name))
    return net.asking(net.run(**rounded, order=order).astype(np.float32), folder)


def _not_half(name: str, kind: str, folder: Path) -> Asking:
    net = test_halves.Net(4, 2, 8, 4, 6)
    h = test_halves.spoiled(kind, net, test_halves.EPS[name], np.random.default_rng(0))
    return net.asking(h.astype(np.float32), folder)


def _refusals() -> Iterator[tuple[str, Question]]:
    for kind in test_refusals.KINDS:
        for units, steps in ((1, 1), (1, 2), (1, 3), (2, 1), (2, 2), (3, 7), (6, 12)):
            for form in ("float32", "4 digits"):
                if kind == "zoneout" and steps == 1:
                    continue
                for seed in (0, 1):
                    yield (
                        f"refusal/{kind}/{units} units, {steps} steps, {form}, {seed}",
                        partial(_refusal, kind, seed, units, steps, form),
                    )


def _refusal(
    kind: str, seed: int, units: int, steps: int, form: str, folder: Path
) -> Asking:
    return test_refusals.asking(kind, folder, seed, units, steps, form)


def _cell(folder: Path, units: int = 5, steps: int = 9, batch: int = 3) -> Cell:
    return Cell(folder, [units, steps, batch], units, steps, batch)


def _alone(truth: Truth, units: int, steps: int, batch: int, folder: Path) -> Asking:
    cell = _cell(folder, units, steps, batch)
    return cell.asking(cell.run(truth)["h"])


def _zero_bias(truth: Truth, folder: Path) -> Asking:
    cell = _cell(folder)
    cell.net.bias[:] = 0
    return cell.asking(cell.run(truth)["h"])


def _first_input_zero(truth: Truth, folder: Path) -> Asking:
    cell = _cell(folder)
    cell.net.bias[:], cell.x[:, 0] = 0, 0
    return cell.asking(cell.run(truth)["h"])


def _chaotic(truth: Truth, folder: Path) -> Asking:
    cell = _cell(folder, 32, 60, 2)
    cell.net = random_net(np.random.default_rng(2), 4, 32, recurrent=8.0)
    return cell.asking(cell.run(truth)["h"])


def _moved(axes: str, folder: Path) -> Asking:
    """EXPECTED in other axes than the inputs' (B, T, I)."""
    cell = _cell(folder)
    h = cell.run({"forget_bias": 0.0})["h"]
    laid = {
        "time first": h.swapaxes(0, 1),
        "flat": h.reshape(-1),
        "flat, time first": h.swapaxes(0, 1).reshape(-1),
        "a line for each step": h.reshape(-1, 5),
        "first step of every sequence": h[:, 0],
        "with NaN": np.where(np.arange(5) == 2, np.nan, h),
    }[axes]
    return cell.asking(laid, layout="batch")


def _execution(how: str, folder: Path) -> Asking:
    """Right weights that were run otherwise."""
    cell = _cell(folder)
    whole = cell.run()
    h, c = whole["h"], whole["c"]
    lengths = np.array([9, 4, 6])
    known = np.arange(9) < lengths[:, None]  # (B, T)
    if how == "chunks of 4 steps":
        parts = [
            outputs(cell.net, cell.x[:, n : n + 4], {}, None, np.float32)
            for n in (0, 4, 8)
        ]
        h = np.concatenate([part["h"] for part in parts], axis=1)
    elif how == "from the last state of another run":
        h = cell.run(state=(h[:, -1], c[:, -1]))["h"]
    elif how == "padded with zeros":
        h = np.where(known[..., None], h, 0)
    elif how == "padded with the last":
        at = np.minimum(np.arange(9), lengths[:, None] - 1)
        h = np.take_along_axis(h, at[..., None], axis=1)
    elif how == "last h of sequences that end early":
        h = h[np.arange(3), lengths - 1]
    elif how == "masked at the start":
        rest = outputs(cell.net, cell.x[1:2, 4:], {}, None, np.float32)["h"][0]
        h = h.copy()
        h[1, :4], h[1, 4:] = 0, rest
    return cell.asking(h, layout="batch")


EXECUTIONS = (
    "chunks of 4 steps", "from the last state of another run", "padded with zeros",
    "padded with the last", "last h of sequences that end early", "masked at the start",
)  # fmt: skip
AXES = (
    "time first", "flat", "flat, time first", "a line for each step",
    "first step of every sequence", "with NaN",
)  # fmt: skip


def _shape(shape: tuple[int, ...], folder: Path) -> Asking:
    """Numbers that are no result of a run."""
    return _cell(folder).asking(
        np.random.default_rng(0).normal(size=shape).astype(np.float32)
    )


def _remarked(code: str, folder: Path) -> Asking:
    """A question whose answer has a remark that no other question's has."""
    if code == "not_merged_so":
        net = networks.Asked(folder, 0, code)
        one_wide = net.run({})[..., : net.nets[0].bias.size // 4]
        return net.asking(net.rng.normal(size=one_wide.shape))
    cell = _cell(folder)
    if code == "placed_elsewhere":
        return cell.asking(cell.run({"state": "reset"})["h"][0])
    if code == "needs_float64":
        return cell.asking(cell.run()["h"], layout="batch", dtype="float16")
    lengths, steps = np.array([9, 4, 6]), np.arange(9)
    if code == "padded_before":
        first = (steps - (9 - lengths)[:, None]) % 9
        cell_x, cell.x = cell.x, np.take_along_axis(cell.x, first[..., None], axis=1)
        h, cell.x = cell.run()["h"], cell_x
    else:
        known = steps < lengths[:, None]
        h = np.where(known[..., None], cell.run()["h"], 7)
    return cell.asking(h, layout="batch", lengths=lengths)


REMARKED = (
    "not_merged_so", "placed_elsewhere", "needs_float64", "padded_before", "past_ends",
)  # fmt: skip


def _classes() -> Iterator[tuple[str, Question]]:
    truth: Truth
    for truth in (
        {},
        {"gates": "ifgo"},
        {"forget_bias": 0.0},
        {"bias": "none"},
        {"coupled": "f=1-i"},
    ):
        name = name_of(truth) or "as loaded"
        yield f"class/zero bias/{name}", partial(_zero_bias, truth)
        yield f"class/first input zero/{name}", partial(_first_input_zero, truth)
        yield f"class/one step/{name}", partial(_alone, truth, 5, 1, 3)
        yield f"class/one unit/{name}", partial(_alone, truth, 1, 7, 2)
        yield f"class/one sequence/{name}", partial(_alone, truth, 3, 7, 1)
        yield f"class/chaotic/{name}", partial(_chaotic, truth)
    for truth in (
        {"state": "reset"},
        {"layout": "time"},
        {"reverse": True, "flip_output": True},
        {"forget_bias": -40.0},
        {"activation": "sigmoid", "output_activation": "tanh"},
    ):
        yield f"class/one sequence/{name_of(truth)}", partial(_alone, truth, 3, 7, 1)
        yield f"class/three sequences/{name_of(truth)}", partial(_alone, truth, 3, 7, 3)
    for axes in AXES:
        yield f"class/axes/{axes}", partial(_moved, axes)
    for how in EXECUTIONS:
        yield f"class/execution/{how}", partial(_execution, how)
    for code in REMARKED:
        yield f"class/remark/{code}", partial(_remarked, code)
    for shape in ((3, 9, 4), (4, 9, 5), (5,), (45,), (2, 2, 2, 2), (0, 5)):
        yield f"class/shape/{shape}", partial(_shape, shape)


FAMILIES = {
    "matrix": _matrix, "part": _parts, "network": _networks, "golden": _goldens,
    "half precision": _halves, "refusal": _refusals, "class": _classes,
}  # fmt: skip
"""By the first word of a name."""


@cache
def family(word: str) -> dict[str, Question]:
    named = list(FAMILIES[word]())
    found = dict(named)
    assert len(found) == len(named), "a name stands for one question"
    return found


def question(name: str) -> Question:
    return family(name.partition("/")[0])[name]


def questions() -> dict[str, Question]:
    """All of them; recorded cases are looked into for it."""
    return {name: one for word in FAMILIES for name, one in family(word).items()}


def group_of(name: str) -> str:
    """``matrix/float32 0`` of ``matrix/float32 0/order-ifgo``."""
    return "/".join(name.split("/", 2)[:2])


def is_spoiled(name: str) -> bool:
    """Return whether no setting gives a question's EXPECTED."""
    return name.startswith(("refusal/", "network/refused/"))


# Coupled gates have no forget bias that could be wrong; numbers of its own in an activation are
# none that is tried; where every h stands at its bound, h shows little or nothing.
HIDDEN = (
    "golden/dynet, */*coupled, forget bias", "golden/onnxruntime, */everything, forget bias",
    "golden/onnxruntime, */input_forget*, forget bias",
    "golden/onnxruntime, */hard_sigmoid_alpha_beta, gate activation",
    "golden/onnxruntime, */three_different*, gate activation",
    "golden/tflite, h/*peepholes_clips_projection, [fg]*",
)  # fmt: skip


def truth_of(name: str) -> tuple[str, Truth] | None:
    """The verdict and changes that a question was made for; None where EXPECTED hides them."""
    asked: Any = question(name)
    given = asked.keywords
    if name.startswith("matrix/"):
        (row,) = asked.args
        return row.verdict, dict(row.truth) if row.verdict == "found" else {}
    if asked.func is _chaotic:
        (changes,) = asked.args
        return ("found" if changes else "agrees"), changes
    if name.startswith("network/") and given.get("truth") and not is_spoiled(name):
        changes = {
            key: value
            for key, value in given["truth"].items()
            if given.get(key) != value
        }
        return ("found" if changes else "agrees"), changes
    if asked.func is _golden and not any(fnmatch(name, hidden) for hidden in HIDDEN):
        model = recorded(asked.args[0]).load()
        wrong = given.get("wrong") or {}
        if "number" in given:
            wrong = test_goldens.mistakes(model)[given["number"]]
        if not any("." in setting or setting == "merge" for setting in wrong):
            changes = {setting: model.convention.setting(setting) for setting in wrong}
            return ("found" if changes else "agrees"), changes
    return None
