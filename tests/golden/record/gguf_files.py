"""GGUF files by the package gguf of llama.cpp, of LSTMs as ports of PyTorch keep them.

Recorded with gguf 0.19.0, torch 2.13.0, onnx 1.23.2.

    pip install gguf==0.19.0 torch==2.13.0 onnx==1.23.2 onnxscript onnxruntime==1.32.0
    python tests/golden/record/gguf_files.py

What is packed is unpacked again by the package, and PyTorch runs those numbers.
"""

from __future__ import annotations

import io
import warnings
from typing import Any

import gguf
import numpy as np
import onnx
import onnxruntime
import torch
from common import GOLDEN, B, T, numbers, save, uneven
from gguf import GGMLQuantizationType as Kind

warnings.filterwarnings("ignore")
FOLDER, SCRIPT = GOLDEN / "gguf", "gguf_files.py"
VERSION = f"gguf 0.19.0, torch {torch.__version__.split('+')[0]}"
I, H = 32, 32  # rows of the packed types have multiples of 32


def pack(array: np.ndarray, kind: Kind) -> tuple[np.ndarray, np.ndarray]:
    """The bytes of an array in a type, and the numbers that they stand for."""
    if kind in (Kind.F32, Kind.F16, Kind.F64):
        dtype = {Kind.F32: np.float32, Kind.F16: np.float16, Kind.F64: np.float64}[kind]
        return array.astype(dtype), array.astype(dtype)
    packed = gguf.quantize(np.ascontiguousarray(array, np.float32), kind)
    return packed, np.asarray(gguf.dequantize(packed, kind), np.float32).reshape(
        array.shape
    )


def write(
    case: str, tensors: dict[str, np.ndarray], kind: Kind
) -> dict[str, np.ndarray]:
    """A file with matrices in a type and vectors in float32, and fields of every sort."""
    writer = gguf.GGUFWriter(FOLDER / f"{case}.gguf", "lstm")
    writer.add_name("golden")
    writer.add_array("lstm.sizes", [I, H])
    writer.add_array("tokenizer.tokens", ["a", "bc", ""])
    writer.add_float32("lstm.epsilon", 1e-5)
    writer.add_bool("lstm.bias", True)
    stands_for = {}
    for name, array in tensors.items():
        packed, numbers_of = pack(
            array, kind if min(array.shape[-2:]) > 1 else Kind.F32
        )
        raw = (
            None
            if packed.dtype.kind == "f"
            else (kind if min(array.shape[-2:]) > 1 else None)
        )
        writer.add_tensor(name, packed, raw_dtype=raw)
        stands_for[name] = numbers_of
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return stands_for


def state_dict(case: str, seed: int, kind: Kind, **options: Any) -> None:
    """PyTorch's names."""
    rng = numbers(seed)
    lstm = torch.nn.LSTM(I, H, **options)
    tensors = {
        f"enc.lstm.{name}": uneven(rng, *p.shape, scale=0.2)
        for name, p in lstm.named_parameters()
    }
    stands_for = write(case, tensors, kind)
    with torch.no_grad():
        for name, parameter in lstm.named_parameters():
            parameter.copy_(
                torch.tensor(stands_for[f"enc.lstm.{name}"].astype(np.float32))
            )
    run(case, lstm, stands_for, uneven(rng, T, B, I), "pytorch")


def initializers(case: str, seed: int, kind: Kind) -> None:
    """The initializers of an exported graph behind a prefix, as CrispASR's converter keeps them."""
    rng = numbers(seed)
    lstm = torch.nn.LSTM(I, H, num_layers=2, bidirectional=True)
    with torch.no_grad():
        for parameter in lstm.parameters():
            parameter.copy_(torch.tensor(uneven(rng, *parameter.shape, scale=0.2)))
    x, stream = uneven(rng, T, B, I), io.BytesIO()
    torch.onnx.export(lstm, (torch.tensor(x),), stream, dynamo=False, opset_version=14)
    model = onnx.load_from_string(stream.getvalue())
    graph = model.graph
    tensors = {
        f"pyannote.{one.name}": onnx.numpy_helper.to_array(one)
        for one in graph.initializer
        if one.name.startswith("onnx::LSTM_")
    }
    stands_for = write(case, tensors, kind)
    for one in graph.initializer:
        if one.name.startswith("onnx::LSTM_"):
            numbers_of = stands_for[f"pyannote.{one.name}"].astype(np.float32)
            one.CopyFrom(onnx.numpy_helper.from_array(numbers_of, one.name))
    session = onnxruntime.InferenceSession(model.SerializeToString())
    h, final_h, final_c = session.run(None, {session.get_inputs()[0].name: x})
    keep(
        case,
        stands_for,
        x,
        {"h": h, "final_h": final_h, "final_c": final_c},
        "onnx",
        "time",
    )


def by_gate(case: str, seed: int, kind: Kind) -> None:
    """A tensor a gate, cut as TTS.cpp's `prepare_lstm_tensor` cuts them."""
    rng = numbers(seed)
    lstm = torch.nn.LSTM(I, H, bidirectional=True)
    tensors: dict[str, np.ndarray] = {}
    for name, parameter in lstm.named_parameters():
        part = "weights" if "weight" in name else "biases"
        part = f"reverse_{part}" if "reverse" in name else part
        for n, block in enumerate(
            np.split(uneven(rng, *parameter.shape, scale=0.2), 4)
        ):
            number = 2 * n if "_ih_" in name else 2 * n + 1
            tensors[f"kokoro.text_encoder.lstm.0.{part}.{number}"] = block
    stands_for = write(case, tensors, kind)
    with torch.no_grad():
        for name, parameter in lstm.named_parameters():
            part = "weights" if "weight" in name else "biases"
            part = f"reverse_{part}" if "reverse" in name else part
            offset = 0 if "_ih_" in name else 1
            blocks = [
                stands_for[f"kokoro.text_encoder.lstm.0.{part}.{2 * n + offset}"]
                for n in range(4)
            ]
            parameter.copy_(torch.tensor(np.concatenate(blocks).astype(np.float32)))
    run(case, lstm, stands_for, uneven(rng, T, B, I), "tts-cpp", layout="batch")


def run(
    case: str, lstm: Any, tensors: dict[str, np.ndarray], x: np.ndarray, convention: str,
    layout: str = "time",
) -> None:  # fmt: skip
    """What PyTorch computes with the numbers that a file stands for."""
    with torch.no_grad():
        h, (final_h, final_c) = lstm(torch.tensor(x))
    y = {"h": h.numpy(), "final_h": final_h.numpy(), "final_c": final_c.numpy()}
    if layout == "batch":
        x, y["h"] = x.swapaxes(0, 1), y["h"].swapaxes(0, 1)
    keep(case, tensors, x, y, convention, layout)


def keep(
    case: str, tensors: dict[str, np.ndarray], x: np.ndarray, y: dict[str, np.ndarray],
    convention: str, layout: str,
) -> None:  # fmt: skip
    """A case of a file."""
    save(
        "gguf", case, tensors, x, y, convention=convention, version=VERSION, script=SCRIPT,
        layout=layout, file=f"{case}.gguf", settings={"dtype": "float32"},
    )  # fmt: skip


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for n, kind in enumerate(
        (Kind.F32, Kind.F16, Kind.BF16, Kind.Q8_0, Kind.Q4_0, Kind.Q5_1)
    ):
        state_dict(
            kind.name.lower(), 861 + n, kind, num_layers=2 if kind == Kind.F32 else 1
        )
    initializers("initializers_q8_0", 872, Kind.Q8_0)
    by_gate("by_gate_q8_0", 873, Kind.Q8_0)
    by_gate("by_gate_f16", 874, Kind.F16)
