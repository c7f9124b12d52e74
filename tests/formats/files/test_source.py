"""Finding, telling, and atomically writing files; standard input step by step."""

from __future__ import annotations

import gzip
import io
import os
import socket
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest

from lstmcli.errors import UserError
from lstmcli.formats import (
    FORMATS,
    READ_ONLY,
    Document,
    atomically,
    format_of,
    open_steps,
    read,
    read_or_stream,
    write,
)
from lstmcli.formats.text.line_stream import StepStream
from tests.formats.helpers import filed, piped, zipped
from tests.processes import python
from tests.standard_input import from_stdin

AS_ROOT = hasattr(os, "geteuid") and os.geteuid() == 0


def test_every_row_of_the_table_writes_and_reads_back(tmp_path: Path) -> None:
    h = np.array([[0.5, 0.1], [0.25, 0.3]])
    for suffix, row in FORMATS.items():
        path = str(tmp_path / f"h{suffix}")
        assert format_of(path.upper()) == row.name
        if row.name in ("jsonl", "csv", "tsv"):
            with atomically(path) as stream:
                open_steps(stream, row.name, ["h"], False).write(range(2), {"h": h})
        else:
            write(path, row.name, {"h": h}, {})
        document = read(path)
        assert document.format == row.name
        assert [array.tolist() for array in document.arrays.values()] == [h.tolist()]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is empty"),
        (b" \n\t\n", "is empty"),
        (
            gzip.compress(b"1 2 3", mtime=0),
            "a gzip archive.* gunzip FILE, or tar xzf FILE",
        ),
        (
            zipped({"a/w.pt": b"", "b.txt": b""}),
            r"without \.npy members.* give a/w\.pt\.",
        ),
        (b"\x1c\0\0\0TFL3" + bytes(9), "TensorFlow Lite"),
        (b"a\0b", "neither text nor of a known kind"),
        (bytes(range(128, 256)), "line 1, column 1 is not utf-8"),
        (
            b"\xef\xbb\xbf1,2\n3,\xff\n",
            r"line 2, column 3 is not utf-8 text \(byte 0xff\)",
        ),
        ("1,é,".encode() + b"\xff\n", "line 1, column 5 is not utf-8"),
        ("1\n".encode("utf-16") + b"\0\xd8", "line 2, column 1 is not utf-16"),
        ("a\0b".encode("utf-16"), "neither text nor"),
    ],
)
@pytest.mark.parametrize("name", ["a.npy", "a.npz", "a.json", "a.txt", "a"])
def test_the_content_shows_what_is_not_read(
    tmp_path: Path, name: str, data: bytes, message: str
) -> None:
    with pytest.raises(UserError, match=message) as caught:
        filed(tmp_path, name, data)
    assert str(tmp_path / name) in str(caught.value)
    with pytest.raises(UserError, match=message):
        piped(data)


@pytest.mark.parametrize("data", [b"a\0b", bytes(range(128, 256))])
def test_only_messages_about_files_explain_raw_numbers(
    tmp_path: Path, data: bytes
) -> None:
    with pytest.raises(UserError, match=r"\n  Raw numbers are read .*a\.bin:f32:7x3"):
        filed(tmp_path, "a.bin", data)
    with pytest.raises(UserError) as caught:
        piped(data)
    assert "Raw numbers" not in str(caught.value)


def test_a_large_file_that_is_not_text_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lstmcli.formats.MOST_WHOLE", 8)
    for piece in (5, 6, 64):  # a character that is cut by the end of a piece, or none
        monkeypatch.setattr("lstmcli.formats.files.source.PIECE", piece)
        with pytest.raises(UserError, match="is not utf-8 text"):
            filed(tmp_path, "a.csv", b"1,2\n" * 4 + b"3,4\xe2\x82\n")


def test_a_file_of_no_known_kind_is_refused_with_all_that_is_read(
    tmp_path: Path,
) -> None:
    with pytest.raises(
        UserError, match="is neither text nor of a known kind"
    ) as caught:
        filed(tmp_path, "a.bin", bytes(range(16)))
    for kind in (*FORMATS, *READ_ONLY):
        known = (
            "TensorFlow checkpoints"
            if kind == ".index"
            else kind.replace(".txt", "text")
        )
        assert known in str(caught.value)


def test_a_folder_offers_its_files_where_it_cannot_tell_which_is_meant(
    tmp_path: Path,
) -> None:
    def offered(*names: str) -> list[str]:
        for name in names:
            (tmp_path / name).touch()
        with pytest.raises(UserError, match="is a folder") as caught:
            read(str(tmp_path))
        return [Path(line.strip()).name for line in caught.value.lines[1:]]

    assert offered("best.pt", "last.pt", "notes.txt") == ["best.pt", "last.pt"]
    assert offered("inputs.npy") == ["best.pt", "inputs.npy", "last.pt"]
    assert offered(*(f"{n}.npy" for n in range(9))) == []


def test_the_content_goes_before_the_suffix(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    np.save(buffer, np.ones(3))
    assert filed(tmp_path, "a.json", buffer.getvalue()).format == "npy"
    assert filed(tmp_path, "a.npy", '{"h": [1]}').format == "json"
    assert filed(tmp_path, "b.npy", "step,h[0]\n0,1\n").format == "csv"


def test_paths_that_are_not_files(tmp_path: Path) -> None:
    (tmp_path / "weights.npz").touch()
    (tmp_path / "f_noise.npy").touch()
    (tmp_path / "noxfile.py").touch()  # no kind of file that is read
    with pytest.raises(UserError, match=r"no such file\.$"):
        read(str(tmp_path / "nofile.npz"))
    (tmp_path / "nofiles.pt").touch()
    with pytest.raises(UserError, match=r"Did you mean '.*/nofiles\.pt'\?"):
        read(str(tmp_path / "nofile.npz"))
    (tmp_path / "nofiles.pt").unlink()
    (tmp_path / "inputs.npy").touch()
    (tmp_path / "steps.csv").touch()
    for typed, meant in (
        ("inputs.npz", "inputs.npy"), ("inputs.nyp", "inputs.npy"), ("inputs", "inputs.npy"),
        ("steps.cvs", "steps.csv"),
    ):  # fmt: skip
        with pytest.raises(UserError, match=f"Did you mean '.*/{meant}'"):
            read(str(tmp_path / typed))
    with pytest.raises(UserError, match=r"no such file\.$"):
        read(str(tmp_path / "nofile.npy"))
    with pytest.raises(
        UserError, match=r"no such file. Did you mean '.*/weights.npz'\?"
    ):
        read(str(tmp_path / "weight.npz"))
    with pytest.raises(UserError, match="There is no folder"):
        read(str(tmp_path / "nowhere" / "a.npz"))
    with pytest.raises(UserError, match="is a folder"):
        read(str(tmp_path))
    with pytest.raises(UserError, match="cannot be read"):
        read("a\0b")
    with pytest.raises(UserError, match="cannot be read"):
        read("a" * 5000)


@pytest.mark.skipif(AS_ROOT, reason="root may read and write everything")
def test_permissions(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text("{}")
    path.chmod(0)
    with pytest.raises(UserError, match="permission denied"):
        read(str(path))
    with pytest.raises(UserError, match="permission denied"), atomically(str(path)):
        pass
    tmp_path.chmod(0o500)
    with (
        pytest.raises(UserError, match="permission denied"),
        atomically(str(tmp_path / "b")),
    ):
        pass
    tmp_path.chmod(0o700)


@pytest.mark.parametrize(
    "ending", [ValueError, KeyboardInterrupt, SystemExit, GeneratorExit]
)
def test_nothing_is_left_of_a_file_that_was_not_finished(
    tmp_path: Path, ending: type[BaseException]
) -> None:
    old = tmp_path / "old"
    old.write_text("before")

    def start_writing(path: Path) -> None:
        with atomically(str(path)) as stream:
            stream.write(b"half")
            raise ending

    for path in (tmp_path / "new", old):
        with pytest.raises(ending):
            start_writing(path)
    assert os.listdir(tmp_path) == ["old"]
    assert old.read_text() == "before"


def test_the_mode_is_that_of_a_plain_open(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        with atomically(str(tmp_path / "new")):
            pass
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o640
    old = tmp_path / "old"
    old.touch()
    old.chmod(0o604)
    with atomically(str(old)):
        pass
    assert stat.S_IMODE(old.stat().st_mode) == 0o604


def test_links_are_followed(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    for target in ("there", "not_yet"):
        link = tmp_path / f"to_{target}"
        link.symlink_to(tmp_path / "folder" / target)
    (tmp_path / "folder" / "there").touch()
    for target in ("there", "not_yet"):
        with atomically(str(tmp_path / f"to_{target}")) as stream:
            stream.write(b"x")
        assert (tmp_path / f"to_{target}").is_symlink()
        assert (tmp_path / "folder" / target).read_bytes() == b"x"
    assert sorted(os.listdir(tmp_path / "folder")) == ["not_yet", "there"]


def test_devices_and_pipes_are_written_directly(tmp_path: Path) -> None:
    with atomically("/dev/null") as stream:
        stream.write(b"x")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    received: list[bytes] = []
    reader = threading.Thread(target=lambda: received.append(pipe.read_bytes()))
    reader.start()
    with atomically(str(pipe)) as stream:
        stream.write(b"through")
    reader.join()
    assert received == [b"through"]
    assert stat.S_ISFIFO(os.stat(pipe).st_mode)


def test_targets_that_cannot_be(tmp_path: Path) -> None:
    for path, message in [
        (tmp_path, "is a folder"),
        (tmp_path / "nowhere" / "a", f"there is no folder {tmp_path / 'nowhere'}"),
        (tmp_path / "a\0b", "cannot be written|null byte"),
    ]:
        with pytest.raises(UserError, match=message), atomically(str(path)):
            pass


@pytest.mark.skipif(
    not os.path.exists("/dev/fd"), reason="descriptors have no paths here"
)
def test_a_pipe_of_the_shell_is_read() -> None:
    """The kind of file that <(command) passes."""
    reading, writing = os.pipe()
    buffer = io.BytesIO()
    np.save(buffer, np.arange(3.0))
    with os.fdopen(writing, "wb") as stream:
        stream.write(buffer.getvalue())
    assert read(f"/dev/fd/{reading}").arrays[""].tolist() == [0, 1, 2]
    os.close(reading)


@pytest.mark.parametrize("path", ["socket", "/dev/zero", "pipe"])
def test_devices_and_named_pipes_are_refused_unopened(
    path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe")  # without a writer: opening it would wait for ever
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket")
        with pytest.raises(UserError, match=f"^{path} cannot be read: it is neither"):
            read(path)


@pytest.mark.parametrize("reader", [read, read_or_stream])
def test_a_device_as_standard_input_is_refused(reader: Callable[..., object]) -> None:
    with open("/dev/zero", "rb") as zero, pytest.raises(UserError, match="is a device"):
        from_stdin(reader, zero)
    with open("/dev/null", "rb") as null, pytest.raises(UserError, match="is empty"):
        from_stdin(reader, null)


class Pipe:
    """A pipe whose writing end the test holds."""

    def __init__(self) -> None:
        end, self._writing = os.pipe()
        self.reading: BinaryIO = os.fdopen(end, "rb")

    def send(self, text: str) -> None:
        os.write(self._writing, text.encode())

    def close(self) -> None:
        os.close(self._writing)


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    pipe = Pipe()
    yield pipe
    pipe.reading.close()


def test_steps_come_as_they_are_sent(pipe: Pipe) -> None:
    pipe.send("[1, 2]\n")
    stream = from_stdin(read_or_stream, pipe.reading)
    assert isinstance(stream, StepStream)
    steps = iter(stream)
    assert next(steps).tolist() == [1, 2]
    assert not stream.waiting()
    pipe.send('\n\n{"x": [3,')
    assert not stream.waiting()
    pipe.send(' "NaN"]}\n[5, 6]')
    assert stream.waiting()
    assert np.isnan(next(steps)[1])
    assert not stream.waiting()
    pipe.close()
    assert stream.waiting()
    assert next(steps).tolist() == [5, 6]
    assert not stream.waiting()
    assert list(steps) == []


def test_steps_from_memory() -> None:
    lines = b'{"step": 0, "x": [[1], [2]]}\n\n{"x": [[3], [4]]}\n \n'
    stream = from_stdin(read_or_stream, lines)
    assert isinstance(stream, StepStream)
    found = []
    for step in stream:
        found.append((step.tolist(), stream.waiting()))
    assert found == [([[1], [2]], True), ([[3], [4]], False)]


def test_long_lines_come_in_pieces() -> None:
    line = ", ".join(["0.5"] * 100_000)
    stream = from_stdin(read_or_stream, f"[{line}]\n[{line}]\n".encode())
    assert isinstance(stream, StepStream)
    assert [step.shape for step in stream] == [(100_000,), (100_000,)]


@pytest.mark.parametrize(
    "text",
    [
        '{"kernel": [[1, 2]], "x": [[1]]}\n',
        '{"x": [[1, 2], [3, 4]]}\n',
        '{"kernel": [[1, 2]], "inputs": [[1]]}\n',
        '{"inputs": [[1, 2], [3, 4]]}\n',
        '{"inputs": [1, 2], "initial_state": {"h": [0], "c": [0]}}\n',
        '{\n "inputs": [[1, 2]]\n}\n',
        '{\n "x": [[1, 2]]\n}\n',
        '{"step": 0, "h": [1]}\n{"step": 1, "h": [2]}\n',
        "[[1, 2], [3, 4]]\n",
        "[1. 2.]\n[3. 4.]\n",
        "1,2\n3,4\n",
        "\n\n1 2\n",
    ],
)
def test_everything_else_is_read_at_once(text: str) -> None:
    document = from_stdin(read_or_stream, text.encode())
    assert isinstance(document, Document)
    whole = piped(text)
    assert (document.format, document.layout) == (whole.format, whole.layout)
    assert {name: a.tolist() for name, a in document.arrays.items()} == {
        name: a.tolist() for name, a in whole.arrays.items()
    }


def test_empty_standard_input() -> None:
    for data in (b"", b"\n \n"):
        with pytest.raises(UserError, match="standard input is empty"):
            from_stdin(read_or_stream, data)


def test_importing_formats_loads_none_of_their_libraries() -> None:
    code = (
        "import sys, numpy; before = set(sys.modules); import lstmcli.formats;"
        "print(*sorted(name for name in set(sys.modules) - before if '.' not in name))"
    )
    ran = python("-c", code)
    heavy = {
        "csv",
        "zipfile",
        "tempfile",
        "shutil",
        "decimal",
    }  # 3 ms and more; json takes 1.5
    assert heavy.isdisjoint(ran.stdout.split())
    assert ran.returncode == 0
