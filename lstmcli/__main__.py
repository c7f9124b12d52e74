"""The process of ``lstm``: it starts, runs one command line, and ends with its status.

`lstmcli.cli.process.invoke` does the work, and can be called without ending a
process.
"""

from __future__ import annotations

import gc
import os
import sys

try:
    import signal  # which takes 3 ms
except KeyboardInterrupt:
    os._exit(130)

TYPE_CHECKING = False  # as in lstmcli
if TYPE_CHECKING:
    from typing import NoReturn


def _open_closed_streams() -> None:
    """Open a stream in place of each that the process was started without.

    Otherwise the next file that is opened gets its number, and what is
    printed. Standard output is one that refuses to be written to: results are
    not lost silently.
    """
    for name, mode in (("stdin", "r"), ("stdout", "r"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115 (for the life of the process)


def main() -> NoReturn:
    """Run the command line and end the process.

    The interpreter is not torn down: once the streams are flushed nothing is
    left to do, and freeing numpy's modules takes a sixth of the time of a run.
    """
    # Nothing has to be cleaned up yet, and numpy turns an interrupt of its import into an
    # ImportError.
    if (
        signal.getsignal(signal.SIGINT) != signal.SIG_IGN
    ):  # as a shell starts a job with "&"
        signal.signal(signal.SIGINT, lambda *_: os._exit(130))
    # Imports make hardly any garbage, and looking for it takes 5 ms.
    gc.disable()
    _open_closed_streams()
    try:
        from lstmcli.cli.process import invoke, name_standard_output

        name_standard_output()
        status = invoke(sys.argv[1:])
    except KeyboardInterrupt:
        status = 130
    except BaseException:  # a fault of this program: a traceback, and never status 1
        status = 2
        sys.excepthook(*sys.exc_info())
    try:
        sys.stderr.flush()
    except OSError:
        pass
    os._exit(status)


if __name__ == "__main__":
    main()
