"""A run step by step: for inputs as they arrive, or steps that are shown as they are computed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from lstmcli.core.forward.batch import Meter, Runner, blocks_within
from lstmcli.core.forward.blas import one_thread
from lstmcli.core.forward.loop import Packed
from lstmcli.core.forward.plan import Plan, cell_names
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.model import Model
from lstmcli.core.model.selection import Choice
from lstmcli.core.model.states import State, join_states
from lstmcli.errors import UserError

PIECE = 4 << 20  # bytes of results that are computed before they are passed on


class LayerStack:
    """The cells of a model that runs forward only, stepped together, over a chunk of sequences."""

    def __init__(
        self, plan: Plan, packed: Sequence[Packed], chunk: slice, meter: Meter | None
    ) -> None:
        self.model, self.steps = plan.model, 0
        self._runners = [
            Runner(of_cell, blocks_within(chunk, plan.batch, of_cell.cell), state, meter)
            for of_cell, state in zip(packed, plan.states_of(chunk), strict=True)
        ]

    @classmethod
    def of_plan(cls, plan: Plan, meter: Meter | None) -> LayerStack:
        """All sequences of a run.

        Raises
        ------
        UserError
            for a model that needs all steps at once.
        """
        if reason := _needs_all_steps(plan.model):
            raise reason
        packed = [Packed(cell) for _, cell in plan.model.cells]
        return cls(plan, packed, slice(0, plan.batch), meter)

    def advance(self, x: Array, keep: tuple[str, ...]) -> dict[str, Array]:
        """Run the steps of x (s, R, I); gives the arrays of a trace, each (s, R, K)."""
        arrays: dict[str, Array] = {}
        with one_thread():
            for n, runner in enumerate(self._runners):
                of_cell = runner.advance(x, tuple(dict.fromkeys((*keep, "h"))))
                x = of_cell["h"]
                arrays |= cell_names(self.model, n, 0, {k: of_cell[k] for k in keep})
        self.steps += len(x)
        return arrays if len(self._runners) == 1 else {"h": x} | arrays

    @property
    def states(self) -> list[State]:
        """The state of each cell."""
        return [runner.state for runner in self._runners]

    def state(self, layout: str) -> State:
        """The state as a trace has it: ``final_h``, ``final_c``."""
        return join_states(self.states, self.model.convention.behaviour.states, layout)


def runs_forward(model: Model) -> bool:
    """Whether a step needs only those before it."""
    return not _needs_all_steps(model)


def needed_steps(plan: Plan, chosen: Choice | None) -> Plan:
    """The run up to the last of the steps chosen, if those after it change none of them."""
    if chosen is None or not runs_forward(plan.model):
        return plan
    return plan.until(chosen.among(plan.steps)[-1] + 1)


def _needs_all_steps(model: Model) -> UserError | None:
    """Why a step of some layer needs more than those before it; None if none does."""
    behaviours = [cell.convention.behaviour for _, cell in model.cells]
    if model.backward or any(one.flip_output for one in behaviours):
        return UserError("a backward run starts from the last step; give the inputs as a file.")
    if any(one.state == "reset" for one in behaviours):
        return UserError("state=reset is for inputs in a file.")
    if any(one.arithmetic != "float" for one in behaviours):
        text = "8-bit arithmetic runs all steps at once, and the inputs are no file."
        return UserError(text, try_={"arithmetic": "float"})
    return None


def step_pieces(
    plan: Plan, stack: LayerStack, steps: int, observe: Callable[[Mapping[str, Array]], None]
) -> Iterator[tuple[range, dict[str, Array]]]:
    """Consecutive steps of a forward run and their arrays (s, B, K), as they are computed.

    ``stack`` is that of all sequences; a piece has at most so many ``steps``, and inputs of at
    most `PIECE` bytes. ``observe`` is called with each piece.
    """
    x = plan.inputs.x
    size = max(1, min(steps, PIECE // (plan.batch * x.shape[-1] * x.dtype.itemsize)))
    for first in range(0, plan.steps, size):
        piece = range(first, min(first + size, plan.steps))
        arrays = stack.advance(plan.block(slice(piece.start, piece.stop)), plan.keep)
        observe(arrays)
        yield piece, arrays
