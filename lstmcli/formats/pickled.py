"""Plain pickles of arrays and tensors: Paddle's .pdparams, Haiku's and JAX's parameters, dicts.

Networks of madmom are such pickles too.

Read like PyTorch's files, whose tensors they may hold too; nothing is imported or executed.
"""

from __future__ import annotations

from lstmcli.formats.document import Document
from lstmcli.formats.files.source import Opened
from lstmcli.formats.madmom import described
from lstmcli.formats.torch import read_pickle


def read(source: Opened) -> Document:
    """The arrays of a pickle, and what its objects say of them.

    Raises
    ------
    UserError
        A broken file, one that needs code to be run, one without arrays.
    """
    return described(read_pickle(source))
