"""Numbers as text: JSON, JSON lines, CSV, prints of a console."""
