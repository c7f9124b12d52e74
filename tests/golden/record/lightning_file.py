"""A checkpoint of PyTorch Lightning that holds its model twice, the second time as an average.

Recorded with pytorch-lightning 2.5.5 and torch 2.13.0 (CPU, Python 3.11), from the top of the
checkout: python tests/golden/record/lightning_file.py

``tests/golden/torch_files/lightning_swa-2.13.0.pt`` is what the trainer saved after averaging
weights; the ``.npz`` beside it has what `torch_files.py` says, of the model itself.
"""

import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import StochasticWeightAveraging
from torch import nn

FOLDER = Path(__file__).resolve().parent.parent / "torch_files"
T, B, I, H = 7, 4, 5, 3
CASE = "lightning_swa-" + torch.__version__.split("+")[0]


class Net(pl.LightningModule):
    """An LSTM and a dense layer on its last step."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.LSTM(I, H, batch_first=True)
        self.out = nn.Linear(H, 2)

    def training_step(self, batch: list[torch.Tensor], _: int) -> torch.Tensor:
        """Some loss, so that the weights move."""
        return self.out(self.rnn(batch[0])[0][:, -1]).square().mean()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam, whose averages are as large as the weights."""
        return torch.optim.Adam(self.parameters(), lr=0.1)


def tensors(value: object, path: str = "") -> dict[str, np.ndarray]:
    """Every tensor in nested dicts and lists by its path; those of an optimizer are left out."""
    if isinstance(value, torch.Tensor):
        return {path: value.numpy()}
    if isinstance(value, dict):
        named = [(k, v) for k, v in value.items() if k != "optimizer_states"]
    elif isinstance(value, list):
        named = list(enumerate(value))
    else:
        return {}
    parts = [tensors(v, f"{path}.{k}" if path else str(k)) for k, v in named]
    return {name: array for part in parts for name, array in part.items()}


pl.seed_everything(16)
x = torch.randn(B, T, I)
net = Net()
with tempfile.TemporaryDirectory() as folder:
    trainer = pl.Trainer(
        max_epochs=4, accelerator="cpu", logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, default_root_dir=folder,
        callbacks=[StochasticWeightAveraging(swa_lrs=0.05, swa_epoch_start=2)],
    )  # fmt: skip
    trainer.fit(
        net,
        torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x), batch_size=2),
    )
    with (
        torch.no_grad()
    ):  # the trainer puts the average into the model; here they differ
        for parameter in net.parameters():
            parameter.mul_(0.9)
    path = FOLDER / f"{CASE}.pt"
    trainer.save_checkpoint(path)

loaded = Net()
loaded.load_state_dict(torch.load(path, weights_only=False)["state_dict"])
with torch.no_grad():
    h, (final_h, final_c) = loaded.rnn(x)
held = tensors(torch.load(path, weights_only=False))
record = {
    "version": f"pytorch-lightning {pl.__version__}, torch {torch.__version__}",
    "script": "lightning_file.py", "file": path.name, "told": False,
    "python": f"{sys.version_info[0]}.{sys.version_info[1]}",
}  # fmt: skip
np.savez_compressed(
    FOLDER / f"{CASE}.npz", inputs=x.numpy(), h=h.numpy(), final_h=final_h.numpy(),
    final_c=final_c.numpy(), case=np.array(json.dumps(record)),
    **{f"tensors/{name}": array for name, array in held.items()},
)  # fmt: skip
print(path.stat().st_size, list(held))
