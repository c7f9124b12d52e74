"""Results -> something to look at. A view returns a `Sheet`; it never prints."""
