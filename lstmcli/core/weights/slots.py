"""A tensor's place in a cell: its role, and the gate where each gate has a tensor of its own."""

from __future__ import annotations

from typing import NamedTuple


class Slot(NamedTuple):
    """The role of a tensor and its gate; no gate where one tensor has those of all."""

    role: str
    gate: str = ""

    @classmethod
    def parse(cls, text: str) -> Slot:
        """The slot of ``bias`` or ``bias.f``, as a row numbers them."""
        role, _, gate = text.partition(".")
        return cls(role, gate)

    @property
    def text(self) -> str:
        """``bias``, or ``bias.f``."""
        return f"{self.role}.{self.gate}" if self.gate else self.role

    @property
    def words(self) -> str:
        """``recurrent kernel``, or ``recurrent kernel of f``."""
        name = self.role.replace("_", " ")
        return f"{name} of {self.gate}" if self.gate else name


TensorNames = dict[Slot, str]
"""The names of a cell's tensors in a file."""
