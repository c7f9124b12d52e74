"""One number of a run, term by term."""
