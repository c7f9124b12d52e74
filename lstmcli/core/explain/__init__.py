"""Which reading of some weights gives the outputs that were expected."""
