"""Runs on a real Dask cluster of two worker processes, one of which is killed."""

from __future__ import annotations

import os
import re
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from socketserver import BaseRequestHandler, TCPServer
from subprocess import DEVNULL, PIPE, Popen
from threading import Thread
from typing import Any

import numpy as np
import pytest

from lstmcli import formats
from lstmcli.api import save
from tests.cli.conftest import Lstm, start
from tests.cli.test_scale import RUN, network, on_a_terminal
from tests.paths import TOP
from tests.processes import HANGING

pytestmark = [
    pytest.mark.frameworks,
    pytest.mark.filterwarnings("default"),  # of Dask and what it stands on
]

CLUSTER = """
import sys
from distributed import LocalCluster
if __name__ == "__main__":
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        print(cluster.scheduler_address, flush=True)
        print(*(worker.pid for worker in cluster.workers.values()), flush=True)
        sys.stdin.read()
"""


@contextmanager
def started(folder: Path) -> Iterator[tuple[Popen[bytes], str, list[int]]]:
    """A cluster, the address of its scheduler, and the process numbers of its workers."""
    pytest.importorskip("distributed", reason="needs lstmcli[dask]")
    (folder / "cluster.py").write_text(CLUSTER)
    with Popen(
        [sys.executable, folder / "cluster.py"], stdin=PIPE, stdout=PIPE, stderr=DEVNULL,
        env={**os.environ, "PYTHONPATH": str(TOP)},
    ) as process:  # fmt: skip
        assert process.stdin
        assert process.stdout
        address, workers = (
            process.stdout.readline().decode().split() for _ in range(2)
        )
        yield process, address[0], [int(number) for number in workers]
        process.stdin.close()


@pytest.fixture(scope="module")
def cluster(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[str, list[int]]]:
    """The address of a scheduler, and the process numbers of its workers."""
    with started(tmp_path_factory.mktemp("cluster")) as (_, address, workers):
        yield address, workers


@pytest.mark.parametrize("output", ["out.npz", "out.json"])
def test_a_cluster_gives_the_same_bits(
    lstm: Lstm,
    tmp_path: Path,
    cluster: Any,
    output: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    network(tmp_path / "w.npz", 9, 66, directions=2)
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(131, 13, 9)))
    words = ["run", "w.npz", "x.npy", "--layout", "batch"]
    assert lstm(*words, "-o", f"here-{output}", "--threads", 1).status == 0
    for pieces in (0, 1 << 40):
        monkeypatch.setattr(save, "PIECES_FROM", pieces)
        assert (
            lstm(*words, "-o", f"there-{output}", "--scheduler", cluster[0]).status == 0
        )
        here, there = (
            formats.read(f"{where}-{output}").arrays for where in ("here", "there")
        )
        assert here.keys() == there.keys()
        for name, array in here.items():
            np.testing.assert_array_equal(there[name], array)


@pytest.mark.parametrize("pieces", [0, 1 << 40])
def test_a_bar_counts_what_comes_back(
    tmp_path: Path, cluster: Any, pieces: int
) -> None:
    """In a run, and in one whose results are written as they come."""
    network(tmp_path / "w.npz", 64, 256)
    np.save(tmp_path / "x.npy", np.zeros((1024, 60, 64), np.float32))
    words = ["run", f"{tmp_path}/w.npz", f"{tmp_path}/x.npy", "--layout", "batch"]
    words += ["--only", "h", "-o", f"{tmp_path}/out.npz", "--scheduler", cluster[0]]
    code = RUN.replace("progress.PAUSE", f"save.PIECES_FROM = {pieces}; progress.PAUSE")
    shown = on_a_terminal(code, *words)
    counts = {
        int(n.replace(",", "")) for n in re.findall(r"([\d,]+) sequences  ", shown)
    }
    assert len(counts - {0}) > 1  # it moves
    assert max(counts) <= 1024
    assert on_a_terminal(code, *words, "-q") == ""


class HttpGreeting(BaseRequestHandler):
    """The answer of an HTTP server to a connection."""

    def handle(self) -> None:
        self.request.sendall(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")


@pytest.mark.parametrize(
    ("address", "cause"),
    [
        ("tcp://127.0.0.1:{}", "another kind of server"),
        ("tls://127.0.0.1:{}", "TLS expects a `ssl_context`"),
        ("tcp://127.0.0.1:9", "Timed out trying to connect"),
        ("nonsense", "missing port number"),
        ("foo://x", "unknown address scheme"),
        ("inproc://x", "not enough values"),
    ],
)
def test_a_scheduler_that_is_not_there(
    lstm: Lstm, tmp_path: Path, address: str, cause: str
) -> None:
    """A server of HTTP has the port; one that says nothing is in `test_scheduler`."""
    pytest.importorskip(
        "distributed", reason="needs lstmcli[dask]"
    )  # takes a second to import
    network(tmp_path / "w.npz", 9, 4)
    np.save(tmp_path / "x.npy", np.zeros((3, 13, 9)))
    with TCPServer(("127.0.0.1", 0), HttpGreeting) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        address = address.format(server.server_address[1])
        done = lstm("run", "w.npz", "x.npy", "--scheduler", address)
        server.shutdown()
    assert (done.status, done.out) == (2, "")
    assert f"error: --scheduler {address}: no scheduler answers there (" in done.err
    assert cause in done.err
    assert done.err.count("\n") == 1


def test_a_scheduler_that_is_killed_during_the_run(tmp_path: Path) -> None:
    network(tmp_path / "w.npz", 64, 256)
    np.save(tmp_path / "x.npy", np.zeros((2048, 400, 64), np.float32))
    words = [
        "run",
        tmp_path / "w.npz",
        tmp_path / "x.npy",
        "--layout",
        "batch",
        "--only",
        "h",
    ]
    words += ["-o", tmp_path / "out.npz"]
    with started(tmp_path) as (cluster, address, workers):
        process = start(*words, "--scheduler", address)
        wait_for_work(workers[0])
        assert process.poll() is None
        for number in (cluster.pid, *workers):
            os.kill(number, signal.SIGKILL)
        err = process.communicate(timeout=HANGING)[1].decode()
    assert process.returncode == 2
    assert err == (
        f"lstm run: error: --scheduler {address}: the run on the cluster failed: the connection to "
        "the scheduler was lost.\n"
        "  Try without --scheduler: the run is here\n"
    )
    assert {path.name for path in tmp_path.iterdir()} == {
        "cluster.py",
        "w.npz",
        "x.npy",
    }


def wait_for_work(worker: int, least: float = 1) -> None:
    """Return once a worker has computed for a second: only a run gives it anything to do."""
    stat = Path(f"/proc/{worker}/stat")
    if not stat.exists():
        pytest.skip("no /proc here to see what a worker does")

    def seconds() -> float:
        return int(stat.read_text().rpartition(")")[2].split()[11]) / os.sysconf(
            "SC_CLK_TCK"
        )

    before, end = seconds(), time.monotonic() + HANGING
    while seconds() < before + least:
        assert time.monotonic() < end, "the worker was given nothing to do"
        time.sleep(0.05)


def test_a_killed_client_leaves_the_cluster_to_others(
    lstm: Lstm, tmp_path: Path, cluster: Any
) -> None:
    network(tmp_path / "w.npz", 64, 256)
    np.save(tmp_path / "x.npy", np.zeros((2048, 400, 64), np.float32))
    (tmp_path / "out.npz").write_bytes(b"before")
    words = [tmp_path / "w.npz", tmp_path / "x.npy", "--layout", "batch", "--only", "h"]
    process = start(
        "run", *words, "-o", tmp_path / "out.npz", "--scheduler", cluster[0]
    )
    wait_for_work(cluster[1][1])
    assert process.poll() is None
    process.kill()
    process.communicate()
    assert (tmp_path / "out.npz").read_bytes() == b"before"
    left = {path.name for path in tmp_path.iterdir()} - {"w.npz", "x.npy", "out.npz"}
    assert all(name.startswith(".out.npz.") and name.endswith(".part") for name in left)
    np.save(tmp_path / "y.npy", np.ones((3, 5, 64), np.float32))
    words[1] = tmp_path / "y.npy"
    assert lstm("run", *words, "-o", "here.npz").status == 0
    assert lstm("run", *words, "-o", "there.npz", "--scheduler", cluster[0]).status == 0
    np.testing.assert_array_equal(np.load("there.npz")["h"], np.load("here.npz")["h"])


def test_a_killed_worker_loses_nothing(
    lstm: Lstm, tmp_path: Path, cluster: Any
) -> None:
    """It dies in the middle of the run; its blocks are done by the other, or by its successor."""
    network(tmp_path / "w.npz", 64, 256)
    x = np.random.default_rng(0).normal(size=(1024, 200, 64)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    words = ["run", "w.npz", "x.npy", "--layout", "batch", "--only", "h"]
    assert lstm(*words, "-o", "here.npz").status == 0
    killed: list[int] = []

    def kill() -> None:
        wait_for_work(cluster[1][0], 0.3)
        os.kill(cluster[1][0], signal.SIGKILL)
        killed.append(cluster[1][0])

    killer = Thread(target=kill)
    killer.start()
    assert lstm(*words, "-o", "there.npz", "--scheduler", cluster[0]).status == 0
    assert killed, "the run was over before the worker could be killed"
    killer.join()
    np.testing.assert_array_equal(np.load("there.npz")["h"], np.load("here.npz")["h"])
