"""The calculations: NumPy only, no files, no terminal, no frameworks."""
