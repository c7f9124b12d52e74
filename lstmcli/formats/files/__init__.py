"""Files themselves: opening, limits, companions, and writing whole or not at all."""
