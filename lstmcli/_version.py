"""The version, in a separate module so that no module imports the package for it."""

__version__ = "0.1.0"  # a string: reading it from the installed metadata would take 25 ms
