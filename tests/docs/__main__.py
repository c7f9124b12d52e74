"""``python -m tests.docs [DOCUMENT...]`` writes today's outputs, passages and pictures."""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.docs.documents import PICTURES, documents, drawn, filled
from tests.paths import TOP

if __name__ == "__main__":
    for document in sys.argv[1:] or documents():
        with TemporaryDirectory() as folder:
            (TOP / document).write_text(filled((TOP / document).read_text(), Path(folder)))
    for name in () if sys.argv[1:] else PICTURES:
        with TemporaryDirectory() as folder:
            (TOP / f"docs/pictures/{name}.svg").write_text(drawn(name, Path(folder)))
