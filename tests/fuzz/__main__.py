"""Read again what was kept of formats in `corpus`, or the pickles of `advisories`; see the package.

Status 1 says that something is wrong. Files of HDF5 are read by one process, then by one each.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

from tests.fuzz import advisories, corpus, guided
from tests.fuzz.corpus import Sample, Variant
from tests.fuzz.guard import Audit
from tests.fuzz.session import Session


def main() -> int:
    """Read what each word names: a format, or a pickle."""
    audit, count, failed = Audit(), 0, 0
    for name in sys.argv[1:]:
        pickled = name in advisories.PICKLES
        format = "pickle" if pickled else name
        for keep in (
            (False,) if pickled else (True, False)[: 1 + corpus.TABLE[format].hdf5]
        ):
            with Session(audit, format, keep) as session:
                for number, variant in _variants(name):
                    count += 1
                    for text in session.failures(variant, number):
                        failed += 1
                        print(f"{name} {variant.sample.name} {number}: {text}")
    print(count, "read,", failed, "failed")
    return int(failed > 0)


def _variants(name: str) -> Iterator[tuple[int, Variant]]:
    """The files that a word names, with the numbers of their readers."""
    if name in advisories.PICKLES:
        for file, data in advisories.files(name).items():
            sample = Sample(f"{name}/{file}", {file: data}, file, (file,))
            yield from ((number, Variant(sample, sample.files)) for number in range(4))
        return
    samples = corpus.samples_of(name)
    for number, path in enumerate(sorted((guided.CORPUS / name).iterdir())):
        yield number, guided.variant_of(samples, path.read_bytes())


if __name__ == "__main__":
    sys.exit(main())
