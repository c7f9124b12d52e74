"""Two versions of the package get the same random questions; what they answer is compared.

    python -m tests.compare OLD NEW [--kinds runs,pairs] [--count 500] [--seed 1] [--first 0]

OLD and NEW are folders that hold `lstmcli`: a checkout (`git worktree add ../old COMMIT`), or what
`pip install --target FOLDER` wrote. Each is asked in a process of its own (`asked`, which imports
nothing from here); the questions are made here, with this checkout's package, a module a kind.

A text with spaces is words: if nothing but its words differs, its numbers being the same, that is a
difference in words. All else is one in answers. With --first N and --count 1 question N is asked
again, alone.
"""
