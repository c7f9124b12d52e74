"""The name of an array of a run: its cell, what it is, its order in a step."""

from __future__ import annotations

from dataclasses import dataclass

SEQUENCE, FINAL, WEIGHTS = "sequence", "final", "weights"

# The order of a step: pre-activations, gates, c, h. With peepholes o comes after c, but as a
# place to look at, a gate comes before what is made of it.
STEP_ORDER = ("z", "i", "f", "g", "o", "c", "h")
FINALS = ("final_c", "final_h")


@dataclass(frozen=True)
class ArrayName:
    """``layer0_reverse.f`` in its parts."""

    prefix: str  # "layer0_reverse", or ""
    base: str  # "f"

    @classmethod
    def of(cls, name: str) -> ArrayName:
        """The parts of a name; weights keep all of it in ``base``."""
        prefix, _, base = name.rpartition(".")
        return cls(prefix, base) if base in STEP_ORDER + FINALS else cls("", name)

    @property
    def kind(self) -> str:
        """``sequence``, ``final`` or ``weights``."""
        if self.base in STEP_ORDER:
            return SEQUENCE
        return FINAL if self.base in FINALS else WEIGHTS

    @property
    def backward(self) -> bool:
        """Return whether the last step was computed first."""
        return self.prefix.endswith("_reverse")

    @property
    def layer(self) -> tuple[int, str, str]:
        """Sorts layer 2 before layer 10, forward before backward."""
        digits = "".join(letter for letter in self.prefix if letter.isdecimal())
        return len(digits), digits, self.prefix
