"""Places of the product that are broken on purpose, each against the tests that run its line.

    python -m tests.mutation [--drawn 20] [--only TEXT] [--write] [--quick]
    python -m tests.mutation.draw --seed N    other places for those whose code went

`places.json` has the table: numerics, guards and limits. A place is the n-th operator of its kind
in a function (see `nodes`), and what it becomes: a change of style moves none. Which tests run a
line comes from `.ci/run coverage`, whose record has the test of every line.
"""
