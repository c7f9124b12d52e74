"""A conversion as people see it: 80 columns, every step, the verdict, the next command."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from lstmcli.api.convert import Rounding
from lstmcli.core.forward.equivalence import Proof
from lstmcli.core.weights.compatibility import Step
from lstmcli.views.convert import conversion_sheet
from lstmcli.views.sheet import Width

ASSUMED = "forget bias +1.0 (not stored in the weights; --forget-bias)"
PROOF = Proof(rows=3, steps=6, difference=0.0, allowed=0.0)


def lines(width: int | None = 80, **changes: Any) -> list[str]:
    source = {"convention": "tf1", "gates": "igfo", "forget_bias": 1.0}
    model = SimpleNamespace(
        settings=lambda: source, assumed=(ASSUMED,),
        cell=SimpleNamespace(dtype=np.dtype(np.float32)),
    )  # fmt: skip
    flax = SimpleNamespace(
        name="flax", behaviour=SimpleNamespace(forget_bias=0.0),
        settings=lambda: {"gates": "ifgo"},
    )  # fmt: skip
    fields: dict[str, Any] = {
        "source": "a.npz", "target": "b c.npz", "model": model, "convention": flax,
        "arrays": {f"h{gate}/kernel": np.zeros((3, 3)) for gate in "ifgo"},
        "settings": {"activation": "relu", "convention": "flax-nnx"}, "all_options": "", "use": [],
        "steps": [Step("gates", "i g f o -> a tensor per gate"), Step("kernels", "word " * 40)],
        "proof": PROOF, "rounding": None,
    }  # fmt: skip
    conversion: Any = SimpleNamespace(**fields | changes)
    return conversion_sheet(conversion, Width.of(width)).plain().splitlines()


def test_a_long_step_is_wrapped_next_to_its_name() -> None:
    shown = lines()
    start = next(n for n, line in enumerate(shown) if "kernels" in line)
    assert shown[start].startswith("          kernels       word word")
    assert shown[start + 1].startswith(" " * 24 + "word")
    assert max(map(len, shown)) <= 80
    assert max(map(len, lines(None))) <= 80
    assert sum(line.startswith("recipe") for line in shown) == 1


def test_the_verdict() -> None:
    def verdict(**proof: Any) -> str:
        return " ".join(" ".join(lines(proof=PROOF._replace(**proof))).split())

    assert "3 sequences of 6 steps" in verdict()
    assert "h and c are equal, bit for bit" in verdict()
    assert "within 1.5e-07 (1.3e-05 is rounding)" in verdict(difference=1.5e-7, allowed=1.3e-5)


def test_rounded_weights_are_named_and_so_is_what_the_proof_compares() -> None:
    rounding = Rounding("float32", "float16", 3.05e-4)
    shown = " ".join(" ".join(lines(rounding=rounding)).split())
    assert "rounded the weights, from float32 to float16: by 3.0e-04 at most" in shown
    assert "run next to the source with the rounded weights, 3 sequences" in shown
    assert "rounded" not in "".join(lines())
