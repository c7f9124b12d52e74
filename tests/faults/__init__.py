"""Commands in whose process calls of the system fail, one after another.

    python -m tests.faults CASE...

A call that opens, writes, flushes, renames or removes a file of the command fails, the first of its
kind in one run, the second in the next, until a run makes no such call. The same with memory that
runs out, and with sources that change while they are read.
"""
