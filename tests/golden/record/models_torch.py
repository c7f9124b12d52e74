"""Whole models of PyTorch: nn.Embedding, nn.LSTM and nn.Linear, saved, exported and run.

A case is a file in ``tests/golden/models/`` (a state dict as .pt, .safetensors or
.npz, or the exported .onnx) and ``<case>.npz`` with ``inputs`` as the model takes
them, and the model's output: ``y`` of each step or ``final_y``; of an ONNX file
that of onnxruntime. ``case`` is a JSON record; its ``settings`` are what no tensor
tells (the activation behind a layer, that only the last step is taken).

    python models_torch.py

What was run: torch 2.13.0, onnx 1.23.2, onnxruntime 1.32.0, safetensors, on Python
3.11.
"""

import json
import warnings

import numpy as np
import onnxruntime
import torch
from common import GOLDEN, B, H, I, T, numbers, uneven
from safetensors.torch import save_file
from torch import nn

FOLDER = GOLDEN / "models"
VOCABULARY, WIDTH, K = 11, 8, 9


class Classifier(nn.Module):
    """Indices to probabilities, by h of the last step."""

    def __init__(self):
        super().__init__()
        self.emb = nn.Embedding(VOCABULARY, WIDTH)
        self.lstm = nn.LSTM(WIDTH, H, batch_first=True)
        self.fc = nn.Linear(H, K)

    def forward(self, x):
        h, _ = self.lstm(self.emb(x))
        return torch.softmax(self.fc(h[:, -1]), dim=-1)


class Forecaster(nn.Module):
    """A number a sequence: two layers and a linear one on the last step."""

    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(I, H, num_layers=2, batch_first=True)
        self.linear = nn.Linear(H, 1)

    def forward(self, x):
        return self.linear(self.lstm(x)[0][:, -1])


class Tagger(nn.Module):
    """Two directions, and two linear layers on each step."""

    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(I, H, batch_first=True, bidirectional=True)
        self.classifier = nn.Sequential(
            nn.Linear(2 * H, 5), nn.ReLU(), nn.Dropout(0.3), nn.Linear(5, K)
        )

    def forward(self, x):
        return self.classifier(self.lstm(x)[0])


class LastStates(nn.Module):
    """Two directions, a linear layer on both last states."""

    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(I, H, batch_first=True, bidirectional=True)
        self.fc = nn.Linear(2 * H, K)

    def forward(self, x):
        h = self.lstm(x)[1][0]
        return self.fc(torch.cat([h[0], h[1]], dim=1))


class Pooled(nn.Module):
    """The mean of h over the steps, and a linear layer."""

    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(I, H, batch_first=True)
        self.fc = nn.Linear(H, K)

    def forward(self, x):
        return self.fc(self.lstm(x)[0].mean(dim=1))


SETTINGS = {  # what no tensor of a state dict tells
    "classifier": {"head": "fc:softmax"},
    "tagger": {"head": "classifier.0:relu,classifier.3"},
}


def note(case, file, version, inputs, output, y, settings):
    about = {
        "version": version,
        "script": "models_torch.py",
        "layout": "batch",
        "settings": settings,
        "file": file,
    }
    members = {"inputs": inputs, output: y, "case": np.array(json.dumps(about))}
    np.savez(FOLDER / f"{case}.npz", **members)
    print(case, inputs.shape, output, y.shape)


def record(seed, name, module, indices):
    rng = numbers(seed)
    module.eval()
    with torch.no_grad():
        for tensor in module.state_dict().values():
            tensor.copy_(torch.from_numpy(uneven(rng, *tensor.shape)))
        if indices:
            x = torch.from_numpy(rng.integers(0, VOCABULARY, (B, T)))
        else:
            x = torch.from_numpy(uneven(rng, B, T, I))
        y = module(x).numpy()
    state = module.state_dict()
    version, settings = f"torch {torch.__version__}", SETTINGS.get(name, {})
    output = "y" if y.ndim == 3 else "final_y"
    writers = {
        "pt": lambda path: torch.save(state, path),
        "safetensors": lambda path: save_file(state, path),
        "npz": lambda path: np.savez(path, **{k: v.numpy() for k, v in state.items()}),
    }
    for kind, write in writers.items():
        if kind != "pt" and name != "classifier":
            continue
        case = f"torch_{name}_{kind}"
        file = f"{case}.{kind}"
        if kind == "npz":  # the record has the plain name
            file = f"{case}.model.npz"
        write(str(FOLDER / file))
        note(case, file, version, x.numpy(), output, y, settings)
    case = f"onnx_{name}"
    file = f"{case}.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module,
            (x,),
            str(FOLDER / file),
            dynamo=False,
            opset_version=17,
            input_names=["tokens" if indices else "x"],
            output_names=["y"],
            dynamic_axes={"tokens" if indices else "x": {0: "batch", 1: "steps"}},
        )
    session = onnxruntime.InferenceSession(str(FOLDER / file))
    (made,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    version = f"onnxruntime {onnxruntime.__version__} ({version}, opset 17)"
    note(case, file, version, x.numpy(), output, made, {})


FOLDER.mkdir(exist_ok=True)
CASES = {
    "classifier": (Classifier, True),
    "forecaster": (Forecaster, False),
    "tagger": (Tagger, False),
    "last_states": (LastStates, False),
    "pooled": (Pooled, False),
}
for seed, (name, (module, indices)) in enumerate(CASES.items(), 5700):
    record(seed, name, module(), indices)
