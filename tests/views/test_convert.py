"""A conversion as people see it: 80 columns, every step, the verdict, the next command."""

from __future__ import annotations

from typing import Any

from lstmcli.views.convert import conversion_sheet
from lstmcli.views.sheet import Width

TOLD: dict[str, Any] = {
    "source": "a.npz",
    "target": "b c.npz",
    "from": {"convention": "tf1", "gates": "igfo", "forget_bias": 1.0},
    "to": {"convention": "flax", "gates": "ifgo", "forget_bias": 0.0},
    "assumed": ["forget bias +1.0 (not stored in the weights; --forget-bias)"],
    "dtype": "float32",
    "tensors": {f"h{gate}/kernel": [3, 3] for gate in "ifgo"},
    "settings": {"activation": "relu", "convention": "flax-nnx"},
    "options": "",
    "use": [],
    "recipe": [
        {"what": "gates", "text": "i g f o -> a tensor per gate"},
        {"what": "kernels", "text": "word " * 40},
    ],
    "proof": {"rows": 3, "steps": 6, "difference": 0.0, "allowed": 0.0},
    "rounding": None,
}


def lines(width: int | None = 80, **changes: Any) -> list[str]:
    return conversion_sheet(TOLD | changes, Width.of(width)).plain().splitlines()


def test_both_sides_tensors_and_settings() -> None:
    shown = lines()
    assert shown[0] == "from      a.npz   tf1   gates i g f o   forget bias +1"
    assert shown[1].split() == ["assumed", *TOLD["assumed"][0].split()]
    assert shown[2] == "to        b c.npz   flax   float32"  # whose gates have no order
    assert "hi/kernel (3, 3)   hf/kernel (3, 3)" in shown[3]
    assert shown[5].split() == ["metadata", "written:", "activation=relu", "convention=flax-nnx"]


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
        return " ".join(" ".join(lines(proof=TOLD["proof"] | proof)).split())

    assert "3 sequences of 6 steps" in verdict()
    assert "h and c are equal, bit for bit" in verdict()
    assert "within 1.5e-07 (1.3e-05 is rounding)" in verdict(difference=1.5e-7, allowed=1.3e-5)


def test_rounded_weights_are_named_and_so_is_what_the_proof_compares() -> None:
    rounding = {"dtype": "float32", "to": "float16", "max_abs": 3.05e-4}
    shown = " ".join(" ".join(lines(rounding=rounding)).split())
    assert "rounded the weights, from float32 to float16: by 3.0e-04 at most" in shown
    assert "run next to the source with the rounded weights, 3 sequences" in shown
    assert "rounded" not in "".join(lines())


def test_the_next_command_names_the_file_as_a_shell_takes_it() -> None:
    assert lines()[-1] == "next      lstm run 'b c.npz' inputs.npy"
    assert lines(options="--set activation=relu")[-1].endswith("inputs.npy --set activation=relu")
    assert lines(target="net.onnx")[-1] == "next      lstm run net.onnx inputs.npy"


def test_how_it_is_used_comes_before_the_next_command() -> None:
    *_, first, second, last = lines(use=["X is (T, B, 5)", "once built"])
    assert first == "use       X is (T, B, 5)"
    assert second == "          once built"
    assert last.startswith("next")
