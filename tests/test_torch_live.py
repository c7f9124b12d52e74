"""Files that the PyTorch at hand writes now, against what it reads and computes itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lstmcli import formats, run
from lstmcli.api.load import load

pytestmark = [pytest.mark.frameworks, pytest.mark.filterwarnings("default")]

OPTIONS: list[dict[str, Any]] = [
    {},
    {"num_layers": 2, "bidirectional": True},
    {"proj_size": 2, "num_layers": 3},
    {"bias": False, "bidirectional": True, "proj_size": 2},
]
LAYOUTS = ["zip", "legacy", "protocol 4", "scripted", "traced", "frozen"]


@pytest.fixture(scope="module")
def torch() -> Any:
    return pytest.importorskip("torch", reason="needs torch")


def save(torch: Any, layer: Any, x: Any, how: str, path: Path) -> None:
    if how in ("zip", "legacy", "protocol 4"):
        torch.save(
            layer,
            path,
            _use_new_zipfile_serialization=how != "legacy",
            pickle_protocol=4 if how == "protocol 4" else 2,
        )
        return
    if how == "frozen":  # a lone LSTM would keep its names
        torch.jit.freeze(torch.jit.trace(torch.nn.Sequential(layer).eval(), x)).save(
            str(path)
        )
        return
    script = torch.jit.trace(layer, x) if how == "traced" else torch.jit.script(layer)
    script.save(str(path))


@pytest.mark.parametrize("how", LAYOUTS)
@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("batch_first", [True, False])
def test_a_module(
    torch: Any, tmp_path: Path, how: str, options: dict[str, Any], batch_first: bool
) -> None:
    torch.manual_seed(len(how) + len(options))
    layer = torch.nn.LSTM(5, 3, batch_first=batch_first, **options).eval()
    x = torch.randn(4, 7, 5) if batch_first else torch.randn(7, 4, 5)
    save(torch, layer, x, how, tmp_path / "any.name")
    ours = formats.read(str(tmp_path / "any.name")).arrays
    for name, tensor in layer.state_dict().items():
        array = ours[f"lstm.{name}" if how == "frozen" else name]
        assert array.tobytes() == tensor.numpy().tobytes(), name
    with torch.no_grad():
        y, (h, c) = layer(x)
    trace = run(load(str(tmp_path / "any.name")), x.numpy())
    for name, tensor in {"h": y, "final_h": h, "final_c": c}.items():
        array = trace.members()[name].reshape(tensor.shape)
        np.testing.assert_allclose(
            array, tensor.numpy(), rtol=1e-6, atol=1e-6, err_msg=name
        )
