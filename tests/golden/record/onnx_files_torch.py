"""Golden ONNX files of PyTorch 2.13.0's exporters: TorchScript's, script(), and dynamo's.

Environment: pip install torch==2.13.0 onnx==1.23.2 onnxruntime==1.32.0 onnxscript==0.7.2
Run, from the top of the checkout: python tests/golden/record/onnx_files_torch.py
"""

from __future__ import annotations

import warnings
from typing import Any

import torch
from onnx_files_common import FOLDER, keep, strip

warnings.filterwarnings("ignore")
VERSION, SCRIPT = f"torch {torch.__version__.split('+')[0]}", "onnx_files_torch.py"
T, B, I, H, P = 7, 4, 5, 3, 2  # steps, batch rows, inputs, units, projected units
STATE = {"h": "h", "final_h": "final_h", "final_c": "final_c"}


class Wrapped(torch.nn.Module):
    """An LSTM in a module, as models have them."""

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.lstm = torch.nn.LSTM(I, H, **options)

    def forward(self, x: torch.Tensor) -> Any:
        """Outputs and final state."""
        h, (final_h, final_c) = self.lstm(x)
        return h, final_h, final_c


class WithState(Wrapped):
    """An LSTM whose state comes from outside, as streaming models have them."""

    def forward(self, x: torch.Tensor, h0: torch.Tensor, c0: torch.Tensor) -> Any:
        """Outputs and final state."""
        h, (final_h, final_c) = self.lstm(x, (h0, c0))
        return h, final_h, final_c


class Learned(Wrapped):
    """An LSTM that learned its initial state."""

    def __init__(self) -> None:
        super().__init__()
        self.h0, self.c0 = (torch.nn.Parameter(torch.randn(1, 1, H)) for _ in "hc")

    def forward(self, x: torch.Tensor) -> Any:
        """Outputs and final state."""
        rows = x.shape[1]
        start = (
            self.h0.expand(-1, rows, -1).contiguous(),
            self.c0.expand(-1, rows, -1).contiguous(),
        )
        h, (final_h, final_c) = self.lstm(x, start)
        return h, final_h, final_c


class Packed(Wrapped):
    """An LSTM over rows of several lengths."""

    def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> Any:
        """Outputs and final state."""
        packed = torch.nn.utils.rnn.pack_padded_sequence(
            x, lengths, enforce_sorted=False
        )
        out, (final_h, final_c) = self.lstm(packed)
        h, _ = torch.nn.utils.rnn.pad_packed_sequence(out)
        return h, final_h, final_c


class Cell(torch.nn.Module):
    """An LSTMCell stepped by hand: exported as basic operations."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = torch.nn.LSTMCell(I, H)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Outputs."""
        h, c = torch.zeros(x.shape[1], H), torch.zeros(x.shape[1], H)
        out = []
        for step in range(T):
            h, c = self.rnn(x[step], (h, c))
            out.append(h)
        return torch.stack(out)


class EqualBiases(torch.nn.Module):
    """Two LSTMCells; with equal recurrent biases, the exporter keeps one of these."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = torch.nn.LSTMCell(I, H), torch.nn.LSTMCell(I, H)

    def forward(self, x: torch.Tensor) -> Any:
        """The outputs of the second, then those of the first."""
        return tuple(
            torch.stack([h for h, _ in stepped(cell, x)])
            for cell in (self.second, self.first)
        )


def stepped(cell: torch.nn.LSTMCell, x: torch.Tensor) -> list[Any]:
    """The states of a cell after each step."""
    states = [(torch.zeros(x.shape[1], H), torch.zeros(x.shape[1], H))]
    for step in range(T):
        states.append(cell(x[step], states[-1]))
    return states[1:]


class Branch(torch.nn.Module):
    """One half of a voice detector: its state is given, or zero if it is empty."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = torch.nn.LSTM(I, H)

    def forward(
        self, x: torch.Tensor, state: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Outputs and final state."""
        if state.size(1) == 0:
            h, (h1, c1) = self.rnn(x)
        else:
            h, (h1, c1) = self.rnn(x, (state[0:1], state[1:2]))
        return h, torch.cat([h1, c1])


class Detector(torch.nn.Module):
    """Two rates, each with its own weights, chosen within the graph as Silero's detector does."""

    def __init__(self) -> None:
        super().__init__()
        self.high, self.low = Branch(), Branch()

    def forward(
        self, x: torch.Tensor, state: torch.Tensor, rate: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Outputs and final state."""
        if bool(rate == 16000):
            return self.high(x, state)
        return self.low(x, state)


def made(module: torch.nn.Module, seed: int) -> torch.nn.Module:
    """The module with uneven weights."""
    torch.manual_seed(seed)
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, 0.07, 0.6)
    return module.eval()


def inputs(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Uneven numbers."""
    return (torch.randn(*shape) * 0.8 + 0.1).to(dtype)


def export(
    case: str,
    module: torch.nn.Module,
    *args: torch.Tensor,
    names: Any = ("x",),
    **options: Any,
) -> list[dict[str, Any]]:
    """Write the file; give what it is to be run with."""
    options.setdefault("dynamo", False)
    torch.onnx.export(
        module, args, str(FOLDER / f"{case}.onnx"), input_names=list(names),
        output_names=["h", "final_h", "final_c"][: options.pop("outputs", 3)], **options,
    )  # fmt: skip
    strip(FOLDER / f"{case}.onnx")
    return [{name: one.detach().numpy() for name, one in zip(names, args)}]


def torchscript() -> None:
    """The exporter that traces."""
    axes = {"dynamic_axes": {"x": {0: "t", 1: "b"}}}
    x = inputs(T, B, I)
    for opset in (9, 13, 17):
        feeds = export(
            f"traced_{opset}", made(Wrapped(), opset), x, opset_version=opset, **axes
        )
        keep(f"traced_{opset}", VERSION, SCRIPT, feeds, STATE)
    feeds = export("unfolded", made(Wrapped(), 1), x, do_constant_folding=False, **axes)
    keep("unfolded", VERSION, SCRIPT, feeds, STATE)
    feeds = export("unfolded_9", made(Wrapped(bidirectional=True), 2), x, opset_version=9,
                   do_constant_folding=False, **axes)  # fmt: skip
    keep("unfolded_9", VERSION, SCRIPT, feeds, STATE)
    feeds = export("no_bias", made(Wrapped(bias=False), 3), x)
    keep("no_bias", VERSION, SCRIPT, feeds, STATE)
    options = {"num_layers": 3, "bidirectional": True, "batch_first": True}
    batched = {"dynamic_axes": {"x": {0: "b", 1: "t"}}}
    feeds = export("stacked", made(Wrapped(**options), 4), inputs(B, T, I), **batched)
    keep(
        "stacked",
        VERSION,
        SCRIPT,
        feeds,
        STATE,
        remarks=["feeds /lstm/LSTM into /lstm/LSTM_1"],
    )
    feeds = export("stacked_forward", made(Wrapped(num_layers=2), 5), x)
    keep("stacked_forward", VERSION, SCRIPT, feeds, STATE, remarks=["feeds"])
    names = ("x", "h0", "c0")
    feeds = export("given_state", made(WithState(), 6), x, inputs(1, B, H), inputs(1, B, H),
                   names=names)  # fmt: skip
    keep("given_state", VERSION, SCRIPT, feeds, STATE,
         {"initial_state.h": feeds[0]["h0"], "initial_state.c": feeds[0]["c0"]},
         remarks=["initial_h and initial_c come from the input 'h0'"])  # fmt: skip
    feeds = export("learned_state", made(Learned(), 7), x)
    keep("learned_state", VERSION, SCRIPT, feeds, STATE, initial_state="constant")
    lengths = torch.tensor([7, 3, 5, 1])
    feeds = export(
        "packed", made(Packed(), 8), x, lengths, names=("x", "lengths"), **axes
    )
    keep("packed", VERSION, SCRIPT, feeds, STATE, {"lengths": lengths.numpy()},
         remarks=["its lengths come from"])  # fmt: skip
    feeds = export("cell", made(Cell(), 9), x, outputs=1)
    keep("cell", VERSION, SCRIPT, feeds, {"h": "h"}, remarks=["no LSTM node"])
    module = made(EqualBiases(), 12)
    module.second.bias_hh.data[:] = module.first.bias_hh.data
    feeds = export("cells_equal_biases", module, x, outputs=2)
    keep("cells_equal_biases", VERSION, SCRIPT, feeds, {"h": "h"}, layer="second",
         remarks=["no LSTM node"])  # fmt: skip
    module = torch.jit.script(made(Detector(), 11))
    rate = torch.tensor(16000)
    feeds = export("detector", module, x, torch.zeros(2, 0, H), rate, names=("x", "state", "rate"),
                   outputs=2, dynamic_axes={"state": {1: "b"}})  # fmt: skip
    feeds += [{**feeds[0], "rate": torch.tensor(8000).numpy()}]
    keep("detector", VERSION, SCRIPT, feeds, {"h": "h"}, layer="0",
         remarks=["4 LSTM nodes, 2 of them distinct"])  # fmt: skip


def dynamo() -> None:
    """The exporter that torch.export feeds."""
    x = inputs(T, B, I)
    feeds = export("dynamo", made(Wrapped(), 21), x, dynamo=True)
    (
        FOLDER / "dynamo.onnx.data"
    ).unlink()  # it is empty: small tensors stay in the model
    keep("dynamo", VERSION, SCRIPT, feeds, STATE)
    feeds = export("dynamo_dynamic", made(Wrapped(bidirectional=True), 22), x, dynamo=True,
                   external_data=False, dynamic_shapes=({1: "b"},))  # fmt: skip
    keep("dynamo_dynamic", VERSION, SCRIPT, feeds, STATE)
    feeds = export("dynamo_plain", made(Wrapped(bidirectional=True), 23), x, dynamo=True,
                   optimize=False, external_data=False, dynamic_shapes=({1: "b"},))  # fmt: skip
    keep("dynamo_plain", VERSION, SCRIPT, feeds, STATE)
    options = {"num_layers": 2, "bidirectional": True, "batch_first": True}
    feeds = export("dynamo_stacked", made(Wrapped(**options), 24), inputs(B, T, I), dynamo=True,
                   external_data=False, dynamic_shapes=({0: "b"},))  # fmt: skip
    keep("dynamo_stacked", VERSION, SCRIPT, feeds, STATE, remarks=["feeds"])
    feeds = export(
        "dynamo_learned_state", made(Learned(), 25), x, dynamo=True, external_data=False
    )
    keep(
        "dynamo_learned_state", VERSION, SCRIPT, feeds, STATE, initial_state="constant"
    )
    for dtype, tolerance in ((torch.float16, 2e-3), (torch.float64, 1e-12)):
        case = f"dynamo_{str(dtype).removeprefix('torch.')}"
        module, one = made(Wrapped(), 26).to(dtype), inputs(T, B, I, dtype=dtype)
        feeds = export(case, module, one, dynamo=True, external_data=False)
        answers = [a.detach().numpy() for a in module(one)]
        keep(case, VERSION, SCRIPT, feeds, None, dict(zip(STATE, answers)), tolerance=tolerance,
             note="onnxruntime's LSTM takes float32 alone: the answers are PyTorch's")  # fmt: skip


def refused() -> None:
    """Models whose weights cannot be had."""
    x = inputs(T, B, I)
    export("refused_no_weights", made(Wrapped(), 31), x, export_params=False)
    for case, shapes in (
        ("refused_projection", None),
        ("refused_projection_dynamic", ({1: "b"},)),
    ):
        export(case, made(Wrapped(proj_size=P), 32), x, dynamo=True, external_data=False,
               dynamic_shapes=shapes)  # fmt: skip


if __name__ == "__main__":
    torchscript()
    dynamo()
    refused()
