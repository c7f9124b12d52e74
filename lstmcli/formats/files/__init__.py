"""Files: opening them and their sidecars, limits, errors, and writing completely or not at all."""
