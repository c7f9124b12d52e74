"""The headings under which the help of a command lists its options."""

from __future__ import annotations

from collections.abc import Iterable

OTHER = "Other"

GROUPS = {
    "Weights and conventions": (
        "convention", "layer", "gates", "forget_bias", "activation", "recurrent_activation",
        "output_activation", "cell_clip", "gate_clip", "projection_clip", "rows", "coupled",
        "merge", "set_", "to", "to_set",
    ),
    "Inputs and states": (
        "layout", "reverse", "go_backwards", "lengths", "mask", "masked_output", "initial_state",
    ),
    "Selection": ("only", "cell", "steps", "step", "batch", "units", "unit", "gate", "terms"),
    "Comparison": ("against", "rtol", "atol", "ulp", "equal_nan", "per_step"),
    "Computation": ("dtype", "arithmetic", "engine", "threads", "scheduler", "seed", "max_bytes"),
    "Output": ("screen", "format", "output", "save_state", "tidy", "digits"),
    "Display": ("all_", "heat", "pool", "profile", "quiet", "no_pager", "color", "svg", "html"),
    OTHER: ("help",),
}  # fmt: skip
"""Each heading, and the parameters below it by their names in Python, in the order of the help."""

_HEADINGS = {name: heading for heading, names in GROUPS.items() for name in names}


def grouped(names: Iterable[str]) -> dict[str, list[str]]:
    """Parameters by heading, both in the order of `GROUPS`; unknown ones are last of the others."""
    order = list(_HEADINGS)
    groups: dict[str, list[str]] = {heading: [] for heading in GROUPS}
    for name in sorted(names, key=lambda n: order.index(n) if n in _HEADINGS else len(order)):
        groups[_HEADINGS.get(name, OTHER)].append(name)
    return {heading: found for heading, found in groups.items() if found}
