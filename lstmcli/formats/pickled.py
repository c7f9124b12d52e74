"""Plain pickles of arrays and tensors: Paddle's .pdparams, Haiku's and JAX's parameters, dicts.

Read like PyTorch's files, whose tensors they may hold too; nothing is imported or executed.
"""

from __future__ import annotations

from lstmcli.formats.torch import read_pickle as read

__all__ = ["read"]
