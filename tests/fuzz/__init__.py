"""Fuzzing of every reader with damaged and hostile variants of real files.

``python -m tests.fuzz.guided`` lets coverage lead to variants; those that it keeps are in `corpus`.
"""
