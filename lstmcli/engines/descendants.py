"""The end of all processes that a program started, of those in other groups and sessions too.

Only Linux can tell them: while a program runs, this process is a subreaper,
the parent of every orphan that descends from it.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from ctypes import CDLL, byref, c_int
from pathlib import Path
from threading import Lock

SET_SUBREAPER, GET_SUBREAPER = 36, 37  # of prctl, see <linux/prctl.h>
_lock = Lock()  # two programs at once would end each other


@contextmanager
def descendants_ended() -> Iterator[None]:
    """Kill what was started within in a session of its own, and all that descends from it."""
    if sys.platform != "linux" or not os.path.isdir("/proc/self"):
        yield
        return
    prctl, earlier = CDLL(None).prctl, c_int()
    with _lock:
        left_alone = set(_groups_of_children())
        prctl(GET_SUBREAPER, byref(earlier), 0, 0, 0)
        prctl(SET_SUBREAPER, 1, 0, 0, 0)
        try:
            yield
        finally:
            while _end_groups(left_alone):  # their children become ours meanwhile
                pass
            prctl(SET_SUBREAPER, earlier.value, 0, 0, 0)


def _end_groups(left_alone: set[int]) -> bool:
    """Kill the groups of children but those left alone; returns whether there were any."""
    is_found = False
    for group in _groups_of_children():
        if group in left_alone:
            continue
        is_found = True
        try:
            os.killpg(group, signal.SIGKILL)
            os.waitpid(-group, 0)
        except ProcessLookupError:  # it ended by itself
            pass
        except ChildProcessError:  # reaped
            pass
        except PermissionError:  # it runs as another user
            left_alone.add(group)
    return is_found


def _groups_of_children() -> Iterator[int]:
    """The process groups of children in other sessions than ours, the youngest first.

    What a thread of this process starts meanwhile is in our session.
    """
    own, session = os.getpid(), os.getsid(0)
    processes = [int(name) for name in os.listdir("/proc") if name.isdecimal()]
    for process in sorted(processes, reverse=True):
        stat = b""
        with suppress(OSError):  # it has ended
            stat = Path(f"/proc/{process}/stat").read_bytes()
        fields = stat.rpartition(b")")[2].split()  # state, parent, group, session
        if len(fields) > 3 and int(fields[1]) == own and int(fields[3]) != session:
            yield int(fields[2])
