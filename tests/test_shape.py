"""The packages that are written to be read once stay so; see tests/shape.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.paths import TOP
from tests.shape import BOUNDS, DONE, LARGE, Figures, beyond, groups

PACKED = '''
"""A docstring of seven words is no token."""
def f(is_open, n, *rest):
    """Neither is this."""
    m = n + is_open  # nor this
    m &= n
    is_open &= n > 1
    if (k := m * (n < 2)):
        return [*rest, (1, 2)[n > 0], rest[n > 0], rest[:not n]]
    return n or f"{k} and {m + 1:{n}}" if k else [a for b in rest for a in b]

class C:
    one: int
    def g(self):
        self.two = self.one and self.g() or None
'''
COUNTS = {"ternary": 1, "bool": 5, "star": 1, "walrus": 1, "for for": 1, "and/or": 1}


def test_what_is_done_is_within_its_bounds() -> None:
    assert beyond(TOP / "lstmcli", DONE) == []


def test_each_bound_is_of_a_package() -> None:
    assert {*BOUNDS, *DONE} <= groups(TOP / "lstmcli").keys()


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A package with a module that is packed, and one that is not."""
    for name, text in {"packed": PACKED, "plain": "a = 1\nb = a\n"}.items():
        (tmp_path / "made" / name).mkdir(parents=True)
        (tmp_path / "made" / name / "it.py").write_text(text)
    return tmp_path / "made"


def test_idioms_and_tokens_are_counted(package: Path) -> None:
    size = Figures([package / "packed/it.py"])
    assert dict(size.idioms) == COUNTS
    assert size.statements == 11
    # by hand, line by line: an f-string is one
    assert size.tokens == sum([11, 5, 3, 5, 13, 30, 18, 3, 3, 6, 15])
    assert size.tokens / size.rates["tok/stmt"] == pytest.approx(11)


def test_what_is_over_a_bound_is_named(package: Path) -> None:
    assert beyond(package, ["made/plain"]) == []
    found = beyond(package, ["made/packed", "made/plain"])
    names = [words.split(": ")[1] for words in found]
    assert names == ["ternary", "bool", "star", "walrus", "for for"]
    assert all(words.startswith("made/packed: ") for words in found)


@pytest.mark.parametrize(
    ("text", "large"),
    [
        ("def f():\n    return [" + "1, " * 146 + "]\n", 0),  # 300 tokens
        ("def f():\n    return [" + "1, " * 146 + "1]\n", 1),
        ("def f():\n" + "    f()\n" * 41, 2),
        ("def f():\n" + "".join(f"    a{n} = 1\n" for n in range(15)), 3),
        ("class C:\n" + "".join(f"    a{n}: int\n" for n in range(13)), 4),
        ("class C:\n" + "".join(f"    def f{n}(self): f()\n" for n in range(26)), 5),
    ],
)
def test_large_functions_and_classes_are_counted(
    tmp_path: Path, text: str, large: int
) -> None:
    path = tmp_path / "it.py"
    path.write_text(text)
    names = ["", *LARGE]
    found = Figures([path]).large
    assert found == ({names[large]: 1} if large else {})
