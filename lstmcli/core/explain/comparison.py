"""How far off numbers of EXPECTED the runs of a network over one sequence are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from lstmcli.core.diff.operand import FINAL, OF_HEAD, ArrayName
from lstmcli.core.explain.network_runs import FINALS, Runs, SequenceRun, distinct
from lstmcli.core.explain.observation import WantedNumbers
from lstmcli.core.forward.head import head_output, taken_at_each_end
from lstmcli.core.forward.prepare import edited_model
from lstmcli.core.forward.sequence import edited_outputs, merge_directions
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.edit import edits_in
from lstmcli.core.model.model import Cell, Model
from lstmcli.core.model.surroundings import FINAL_Y, STATES

FAR = 1e6  # tolerances, the most that a number may be off


class Comparison:
    """Runs, their outputs merged and edited, and what the head makes of them.

    With ``at_any_step``, last states are compared with the nearest step.
    """

    def __init__(
        self,
        sequence: SequenceRun,
        layers: Sequence[Sequence[str]],
        at_any_step: bool,
    ) -> None:
        model = edited_model(sequence.model)
        self.sequence = sequence
        self.layers = layers
        self.at_any_step = at_any_step
        self.head = model.head
        self.edited = _with_edited_outputs(model)

    def off(self, runs: Runs, targets: Sequence[WantedNumbers]) -> Array:
        """(N, E): how far off runs are, in tolerances."""
        count = len(next(iter(runs.values())).which)
        shape = (count, len(self.sequence.x), 0) if self.at_any_step else (count, 0)
        parts = [np.zeros(shape)]
        for target in targets:
            off = (self._given(runs, target) - target.values) / target.allowed
            parts.append(np.clip(np.nan_to_num(off, nan=FAR), -FAR, FAR))
        every: Array = np.concatenate(parts, axis=-1)
        if self.at_any_step:
            nearest = np.square(every).sum(axis=-1).argmin(axis=1)
            every = every[np.arange(count), nearest]
        return every

    def _given(self, runs: Runs, target: WantedNumbers) -> Array:
        """(N, E): the numbers that runs have where a target is; of any step (N, T, E)."""
        if target.array in OF_HEAD:
            return self._of_head(runs, target)
        if target.cell:
            array, which = self._shown(target.cell, target.array, runs)
        else:
            array, which = self._merged("h", runs)
        at: Any = (..., *target.at)
        given: Array = array[at][which]
        return given

    def _of_head(self, runs: Runs, target: WantedNumbers) -> Array:
        """(N, E): what the head makes of the outputs of the last layer; of any step (N, T, E)."""
        assert self.head is not None
        taken = "h"
        is_of_end = target.array == FINAL_Y and self.head.steps == STATES
        if is_of_end and not self.at_any_step:
            taken = "final_h"
        h, which = self._merged(taken, runs)
        return self._numbers_of_head(h, target)[which]

    def _merged(self, array: str, runs: Runs) -> tuple[Array, Array]:
        """An array (U, T, P) of distinct runs of the last layer, and which each hypothesis has."""
        names = self.layers[-1]
        first, which = distinct(*(runs[name].which for name in names))
        directions = []
        for name in names:
            shown, of_each = self._shown(name, array, runs)
            distinct_runs = shown[of_each[first]]
            if array in FINALS:
                distinct_runs = distinct_runs[:, None]
            directions.append(distinct_runs)
        return merge_directions(directions, self.sequence.model.convention), which

    def _numbers_of_head(self, h: Array, target: WantedNumbers) -> Array:
        """(U, E): numbers of y over the outputs h (U, T, P); of any step (U, T, E)."""
        assert self.head is not None
        if ArrayName.of(target.array).kind != FINAL and not self.at_any_step:
            steps, places = np.unique(target.at[0], return_inverse=True)
            y = head_output(self.head, np.ascontiguousarray(h[:, steps]))
            return y[:, places, target.at[1]]
        ends = taken_at_each_end(self.head.steps, h.swapaxes(0, 1)).swapaxes(0, 1)
        if not self.at_any_step:
            ends = ends[:, -1]
        y = head_output(self.head, np.ascontiguousarray(ends))
        return y[..., target.at[0]]

    def _shown(self, name: str, array: str, runs: Runs) -> tuple[Array, Array]:
        """An array of the runs of a cell, h as given edits of the outputs leave it."""
        arrays, which = runs[name]
        if array != "h" or name not in self.edited:
            return arrays[array], which
        cell = self.edited[name]
        of_steps = {k: a.swapaxes(0, 1) for k, a in arrays.items() if a.ndim == 3}
        steps, count, _ = of_steps["h"].shape
        x = np.zeros((steps, count, cell.inputs))  # those of upper layers are not kept
        if name in self.layers[0]:
            x[:] = self.sequence.x[:, None]
        return edited_outputs(cell, x, of_steps)["h"].swapaxes(0, 1), which


def _with_edited_outputs(model: Model) -> dict[str, Cell]:
    """The cells whose outputs given edits change, with those edits that are of any batch."""
    cells = dict[str, Cell]()
    for name, cell in model.cells:
        every = edits_in("outputs", cell.edits)
        edits = [one for one in every if not one.kind.of_sequence]
        if edits:
            cells[name] = replace(cell, edits=tuple(edits))
    return cells
