"""Commands in whose process calls of the system fail, one after another.

    python -m tests.faults CASE... --event write

A call that opens, writes, flushes, renames or removes a file of the command fails, the first of its
kind in one run, the second in the next, until a run makes no such call; before a read, the file
that is read is cut, emptied, lengthened, or another takes its name. ``--event memory`` lets memory
run out.
"""
