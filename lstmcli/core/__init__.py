"""The cell, the conventions, the comparison: numpy only, no files, no terminal, no frameworks."""
