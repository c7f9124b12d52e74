"""The tensors of a cell on their way between a file and a `Cell`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from lstmcli.core.model.arrays import Array
from lstmcli.core.model.conventions import Convention, Storage
from lstmcli.core.weights.slots import Slot
from lstmcli.errors import UserError

KERNELS = ("kernel", "recurrent_kernel")
MATRICES = (*KERNELS, "fused")
BIASES = ("bias", "recurrent_bias")
GATED = ("norm_scale", "norm_shift")  # a vector a gate
VECTORS = (*BIASES, *GATED)
PEEPHOLES = "ifo"  # the gates that have them
UNGATED = ("projection_bias", "state_scale", "state_shift")  # vectors without gates
INITIAL = ("initial_h", "initial_c")
ROLES = (
    "fused",
    *KERNELS,
    *BIASES,
    "peephole",
    "projection",
    *GATED,
    *UNGATED,
    *INITIAL,
)
"""In the order in which a file has them."""

Tensors = Mapping[Slot, Array]
Changed = dict[Slot, Array]  # tensors that a step makes


@dataclass(frozen=True, eq=False)
class Stored:
    """The tensors of a cell on their way from a file, or to one."""

    tensors: Tensors
    convention: Convention  # with what the tensors have shown of it
    source: str = ""

    @property
    def storage(self) -> Storage:
        """How the row arranges them."""
        return self.convention.storage

    @property
    def roles(self) -> set[str]:
        """The roles of its tensors."""
        return {slot.role for slot in self.tensors}

    def of(self, role: str) -> Array | None:
        """The tensor with all gates of a role."""
        return self.tensors.get(Slot(role))

    def by_gate(self, role: str) -> dict[str, Array]:
        """The tensors of a role that each gate has."""
        found = {}
        for slot, array in self.tensors.items():
            if slot.role == role and slot.gate:
                found[slot.gate] = array
        return found

    def with_tensors(self, tensors: Tensors, without: Iterable[str] = ()) -> Stored:
        """With some tensors in the place of all of their roles, and of further ones."""
        gone = {slot.role for slot in tensors}.union(without)
        kept = {slot: a for slot, a in self.tensors.items() if slot.role not in gone}
        return replace(self, tensors={**kept, **tensors})

    def each(self, roles: Iterable[str], change: Callable[[Array], Array]) -> Stored:
        """With each tensor of some roles changed."""
        changed = {}
        for slot, array in self.tensors.items():
            if slot.role in roles:
                changed[slot] = change(array)
        return self.with_tensors(changed)

    def error(self, text: str, *further: str) -> UserError:
        """The error that the tensors are no cell's."""
        end = "" if further else "."
        return UserError(f"{self.source}: {text}{end}", *further)


def role_name(role: str) -> str:
    """``recurrent kernel``; of a fused kernel ``kernel``."""
    return "kernel" if role == "fused" else role.replace("_", " ")
