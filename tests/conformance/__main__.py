"""``python -m tests.conformance`` measures the grid with the engines that are installed.

It is written into docs/conformance.md if all are there, and printed otherwise.
"""

import re

from lstmcli.engines import NAMES, find_engine
from tests.conformance.grid import PAGE, table

MEASURED = re.compile(r"(?<=^<!-- measured -->\n\n).*?(?=\n<!-- end -->$)", re.M | re.S)

if __name__ == "__main__":
    if all(find_engine(name).installed for name in NAMES):
        PAGE.write_text(MEASURED.sub(lambda _: table(), PAGE.read_text()))
    else:
        print(table(), end="")
