"""Results -> something to look at. A view returns a `Sheet`; it never prints."""

PLAIN_WIDTH = 80  # columns at which sentences are wrapped where there is no terminal
WIDEST_TEXT = 100  # columns of a sentence: longer lines are hard to read
