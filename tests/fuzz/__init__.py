"""A seeded fuzz of every reader: damaged and hostile variants of real files.

``python -m tests.fuzz FORMAT --seed N --count N`` runs a campaign, ``--variant N`` one variant of
it, with the traceback. The variants of a format and a seed are the same everywhere.
"""
