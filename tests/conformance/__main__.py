"""``python -m tests.conformance`` prints the grid with the engines that are installed."""

from tests.conformance.grid import table

if __name__ == "__main__":
    print(table(), end="")
