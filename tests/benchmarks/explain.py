"""How long `lstm explain` takes, as a process, over the start-up of the libraries it needs."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np

from tests.core.explain.asking import write as write_cell
from tests.core.explain.networks import both
from tests.core.explain.networks import write as write_cells
from tests.core.explain.reference import Net, outputs, random_net
from tests.paths import TOP

Array = np.ndarray[Any, Any]

BARE = "import numpy, click, rich.table, rich.console"
LONGEST = 600.0  # seconds after which a process is ended
ONCE = 10.0  # seconds of a process that is not timed a second time


class Timed(NamedTuple):
    """A question as files, and what is to come of it."""

    name: str
    bound: float  # seconds over the bare start-up
    files: list[str]
    changes: int | None  # how many are right; None: nothing fits


class Sizes(NamedTuple):
    """Of the networks."""

    units: int = 128
    steps: int = 60
    of_four: int = 64  # units of each cell of two layers of two directions
    of_six: int = 100
    long: int = 400  # steps of six cells
    wide: int = 256  # inputs of six cells


GROWING = 1.7  # recurrent weights times this: float32 is then 3e-3 from float64 somewhere
SMALL = Sizes(5, 7, 4, 3, 9, 6)

ONE: dict[str, Any] = {"gates": "ifgo"}
TWO: dict[str, Any] = {"gates": "ifgo", "forget_bias": 0.0}
THREE: dict[str, Any] = {**TWO, "recurrent_activation": "hard_sigmoid_0.2"}


def explain(rounds: int, small: bool) -> Iterator[str]:
    """A line a question: seconds over the bare start-up, the bound, and whether it is answered.

    Beside them the seconds of processor time, which other work on the machine moves less.
    """
    sizes = SMALL if small else Sizes()
    bare, used, _ = _medians(["-c", BARE], max(rounds, 3))
    yield f"\nlstm explain: seconds, and those of the processor, over {bare:.2f} and {used:.2f} of"
    yield f"`{BARE}`\n"
    yield f"{'question':64}{'seconds':>9}{'processor':>11}{'bound':>7}  answer"
    with TemporaryDirectory() as folder:
        for part in (_one_cell, _last_state, _four_cells, _six_cells):
            for timed in part(Path(folder), sizes):
                command = ["-m", "lstmcli", "explain", *timed.files, "-f", "json"]
                wall, processor, out = _medians(command, rounds)
                figures = f"{wall - bare:>9.2f}{processor - used:>11.2f}{timed.bound:>7}"
                yield f"{timed.name:64}{figures}  {_answer(timed, out)}"


def _medians(arguments: list[str], rounds: int) -> tuple[float, float, str]:
    """The medians of a process's seconds and of its processor time, and what it printed."""
    walls, processors, out = [], [], ""
    for _ in range(rounds):
        wall, processor, out = _seconds(arguments)
        walls.append(wall)
        processors.append(processor)
        if wall > ONCE:
            break
    return median(walls), median(processors), out


def _seconds(arguments: list[str]) -> tuple[float, float, str]:
    begun, used = perf_counter(), of_children()
    out = ""
    try:
        done = subprocess.run(
            [sys.executable, *arguments], cwd=TOP, capture_output=True, text=True, timeout=LONGEST
        )
        out = done.stdout or done.stderr
    except subprocess.TimeoutExpired:
        pass  # what it took is shown, and that it is not answered
    return perf_counter() - begun, of_children() - used, out


def of_children() -> float:
    """Seconds of processor time of all processes that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _answer(timed: Timed, out: str) -> str:
    if not out:
        return "not answered"
    if not out.startswith("{"):
        return out.splitlines()[0]
    document = json.loads(out)
    changes = {change["setting"]: change["found"] for change in document["changes"]}
    found = len(changes) if document["found"] else None
    return (
        f"{'right' if found == timed.changes else 'WRONG'}: {document['verdict']} {changes or ''}"
    )


def _one_cell(folder: Path, sizes: Sizes) -> Iterator[Timed]:
    """All of h, of one cell with 40 inputs and 4 sequences."""
    net, x = _cell(sizes)
    files = _saved(folder / "one", [net], x)
    bounds = (0.2, 0.3, 0.5)
    name = f"1 cell of {sizes.units} units, {sizes.steps} steps, all of h"
    for truth, bound in zip((ONE, TWO, THREE), bounds, strict=True):
        h = outputs(net, x, truth, dtype=np.float32)["h"]
        yield Timed(f"{name}: {_changes(truth)}", bound, [*files, _h(files, h)], len(truth))
    h = outputs(net, x, {}, dtype=np.float32)["h"]
    yield Timed(f"{name}: nothing fits", 1.0, [*files, _h(files, _near_miss(h))], None)


def _last_state(folder: Path, sizes: Sizes) -> Iterator[Timed]:
    """A member ``final_h`` alone."""
    net, x = _cell(sizes)
    files = _saved(folder / "last", [net], x)
    name = f"1 cell of {sizes.units} units, {sizes.steps} steps, final_h alone"
    for truth, bound in ((ONE, 2.0), (TWO, 4.0)):
        h = outputs(net, x, truth, dtype=np.float32)["h"][:, -1]
        expected = _h(files, h, "final_h")
        yield Timed(f"{name}: {_changes(truth)}", bound, [*files, expected], len(truth))


def _cell(sizes: Sizes) -> tuple[Net, Array]:
    rng = np.random.default_rng(1)
    net = random_net(rng, 40, sizes.units)
    return net, rng.normal(size=(4, sizes.steps, 40)).astype(np.float32)


def _four_cells(folder: Path, sizes: Sizes) -> Iterator[Timed]:
    """The output of the upper of two layers of two directions."""
    rng = np.random.default_rng(2)
    H = sizes.of_four
    nets = [random_net(rng, inputs, H) for inputs in (20, 20, 2 * H, 2 * H)]
    x = rng.normal(size=(4, sizes.steps, 20)).astype(np.float32)
    files = _saved(folder / "four", nets, x)
    name = f"2 layers x 2 directions of {H} units, {sizes.steps} steps, upper h"
    for truth, bound in ((ONE, 2.0), (TWO, 5.0)):
        expected = _h(files, both(nets, x, truth))
        yield Timed(f"{name}: {_changes(truth)}", bound, [*files, *SIDES, expected], len(truth))
    expected = _h(files, _near_miss(both(nets, x, {})))
    yield Timed(f"{name}: nothing fits", 8.0, [*files, *SIDES, expected], None)


def _six_cells(folder: Path, sizes: Sizes) -> Iterator[Timed]:
    """Three layers of two directions, whose rounding grows: outputs of another float32."""
    rng = np.random.default_rng(3)
    H, T = sizes.of_six, sizes.long
    wide = (sizes.wide, sizes.wide, *4 * [2 * H])
    nets = [random_net(rng, inputs, H, recurrent=GROWING) for inputs in wide]
    x = rng.normal(size=(4, T, sizes.wide)).astype(np.float32)
    lengths = [T, T - T // 8, T // 2, T - 1]
    h = np.zeros((4, T, 2 * H), np.float32)
    for n, length in enumerate(lengths):
        h[n, :length] = both(nets, x[n : n + 1, :length], {})[0]
    files = _saved(folder / "six", nets, x)
    given = ["--lengths", ",".join(map(str, lengths))]
    name = f"3 layers x 2 directions of {H} units, {T} steps, lengths: agrees"
    yield Timed(name, 10.0, [*files, *SIDES, *given, _h(files, h)], 0)


SIDES = ["--gates", "igfo", "--forget-bias", "1", "--layout", "batch"]
"""What nets of several cells are read with: the order and the bias that `reference` has."""


def _changes(truth: dict[str, Any]) -> str:
    return "1 change" if len(truth) == 1 else f"{len(truth)} changes"


def _near_miss(h: Array) -> Array:
    noise = np.asarray(np.random.default_rng(4).normal(0, 1e-3, h.shape))
    near: Array = (h + noise).astype(np.float32)
    return near


def _saved(folder: Path, nets: list[Net], x: Array) -> list[str]:
    """Weights, of one cell as TF1 names them or of several as PyTorch does, and the inputs."""
    folder.mkdir()
    path = folder / "weights.npz"
    if len(nets) == 1:
        write_cell(nets[0], path, x.shape[2])
    else:
        ends = [f"l{n // 2}{'_reverse' * (n % 2)}" for n in range(len(nets))]
        write_cells(dict(zip(ends, nets, strict=True)), path)
    np.save(folder / "inputs.npy", x)
    return [str(path), str(folder / "inputs.npy")]


def _h(files: list[str], h: Array, name: str = "h") -> str:
    """A file of that array alone."""
    path = Path(files[0]).parent / "expected.npz"
    np.savez(path, **{name: h})  # type: ignore[arg-type]
    return str(path)
