"""PyTorch: ``torch.nn.LSTM``, all layers and directions in one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from lstmcli.core.weights.encode import named_tensors
from lstmcli.engines.engine import Engine, Network, Prepared, Result, library


def prepare(network: Network) -> Prepared:
    """The layer with our weights, loaded as a state dict."""
    torch = library("torch")
    cell = network.cell
    lstm = torch.nn.LSTM(
        cell.inputs,
        cell.units,
        len(network.layers),
        bidirectional=len(network.layers[0]) == 2,
        proj_size=0 if cell.projection is None else cell.outputs,
        dtype=getattr(torch, cell.dtype.name),
    )
    weights = named_tensors(network.layers)
    lstm.load_state_dict(
        {name: torch.from_numpy(a) for name, a in weights.items()}, strict=True
    )
    lstm.eval()
    x = torch.from_numpy(network.x.copy())
    state = tuple(
        torch.from_numpy(np.stack(a)) for a in zip(*network.states, strict=True)
    )

    def run() -> Result:
        with torch.inference_mode():
            h, (final_h, final_c) = lstm(_packed(torch, network, x), state)
        if network.lengths is not None:
            h, _ = torch.nn.utils.rnn.pad_packed_sequence(h, total_length=len(x))
        finals = list(zip(final_h.numpy(), final_c.numpy(), strict=True))
        return Result(h.numpy(), finals)

    return run


def _packed(torch: Any, network: Network, x: Any) -> Any:
    """The inputs, packed if they have lengths: later outputs are zero, the state stays."""
    if network.lengths is None:
        return x
    lengths = torch.from_numpy(np.asarray(network.lengths, np.int64))
    return torch.nn.utils.rnn.pack_padded_sequence(x, lengths, enforce_sorted=False)


def unsupported(network: Network) -> Iterator[str]:
    """Layers of different sizes, and sequences without a step."""
    if len({(cell.units, cell.outputs) for cell in network.cells}) > 1:
        yield "layers of different sizes"
    if network.lengths is not None and (network.lengths == 0).any():
        yield "a sequence of length 0 (packed sequences have at least one step)"


ENGINE = Engine(
    "torch", "torch.nn.LSTM", "pytorch", ("torch",), prepare, unsupported=unsupported
)
