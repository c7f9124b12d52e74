"""A row's templates as text: ``weight_ih_l{layer}`` is ``weight_ih_lN``."""

from __future__ import annotations

import re

from lstmcli.core.model.conventions import Convention


def tensor_names(row: Convention, role: str, number: str = "N") -> list[str]:
    """The names that tensors of a role end in: one, one a gate, or one for each form.

    ``number`` stands for that of a layer.
    """
    forms = row.names.tensors[role].split(" | ")
    return [name for form in forms for name in _names_of_form(row, role, form, number)]


def _names_of_form(row: Convention, role: str, form: str, number: str) -> list[str]:
    plain = form.replace("{layer}", number).replace("{number}", number)
    plain = plain.replace("{direction}", row.names.marks[0])
    if "{gate}" not in plain:
        return [plain]
    gates = [g for g in row.storage.letters if role != "peephole" or g != "g"]
    return [plain.replace("{gate}", row.names.word(gate, role)) for gate in gates]


def describe_role(role: str) -> str:
    """``recurrent kernel``; a fused kernel with its parts."""
    return "kernel [x; h]" if role == "fused" else role.replace("_", " ")


def is_reshaped(how: Convention, role: str) -> bool:
    """Whether a matrix was reshaped to its exchanged axes, where it had to be transposed."""
    roles = {
        "reshaped_kernel": ("kernel",),
        "reshaped_recurrent": ("recurrent_kernel",),
        "reshaped_both": ("kernel", "recurrent_kernel", "fused"),
    }
    return role in roles.get(how.storage.transposed, ())


def has_tensor_per_gate(row: Convention) -> bool:
    """Whether there is a tensor per gate, and so no order of gates."""
    names = row.names
    kernels = (names.tensors.get(role, "") for role in ("kernel", "fused"))
    return any("{gate}" in form for form in kernels) or any("." in r for r in names.numbered)


def direction_marks(row: Convention) -> tuple[str, str]:
    """The row's marks of the forward and the backward direction, in a template or before it."""
    if any(row.names.marks):
        return row.names.marks
    match = re.search(r"\?P<direction>(\w+)\|(\w+)\)", row.names.path)
    return (match[1], match[2]) if match else ("", "")
