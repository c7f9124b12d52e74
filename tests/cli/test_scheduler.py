"""Runs whose scheduler fails, by a stand-in; `test_cluster` has the real one."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from threading import Event
from types import ModuleType
from typing import Any

import pytest

from lstmcli.api import dask_cluster
from lstmcli.errors import UserError
from tests.cli.conftest import SAMPLE, Lstm

RUN = ("run", SAMPLE / "weights.npz", SAMPLE / "inputs.npy", "--scheduler")


class Client:
    """A client of a cluster that runs everything here."""

    def __init__(self, address: str, **options: Any) -> None:
        logging.getLogger("distributed.core").error("what Dask logs of a connection")

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def submit(
        self, function: Callable[..., Any], *given: Any, pure: bool
    ) -> Future[Any]:
        done = Future[Any]()
        try:
            done.set_result(function(*given))
        except Exception as error:
            done.set_exception(error)
        return done


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> type[Client]:
    """The client class of a library that stands in for Dask's."""

    class Own(Client):
        pass

    module: Any = ModuleType("distributed")
    module.Client = Own
    monkeypatch.setitem(sys.modules, "distributed", module)
    return Own


def raises(error: Exception) -> Callable[..., Any]:
    def fail(*given: Any, **named: Any) -> Any:
        raise error

    return fail


@pytest.mark.parametrize(
    ("address", "error", "cause"),
    [
        ("tcp://x:1", MemoryError("3.01 EiB"), "what answers is another kind of server"),
        ("tls://x:1", TypeError("ssl_context"),
         "ssl_context"),
        ("tcp://x:1", OSError("Timed out\nafter"), "Timed out"),
        ("tcp://x:1", ImportError("other versions."), "other versions"),
        ("tcp://x:1", RuntimeError(), "RuntimeError"),
    ],
)  # fmt: skip
def test_no_scheduler_answers(
    lstm: Lstm, library: Any, address: str, error: Exception, cause: str
) -> None:
    library.__init__ = raises(error)
    text = f"lstm run: error: --scheduler {address}: no scheduler answers there ({cause}).\n"
    assert lstm(*RUN, address) == (2, "", text)


def test_a_scheduler_that_never_answers(
    lstm: Lstm, library: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dask_cluster, "GREETING", 0.1)
    over = Event()
    library.__init__ = lambda *given, **named: over.wait()
    done = lstm(*RUN, "tcp://x:1")
    over.set()
    text = "no scheduler answers there (connected, and no answer came for 0.1 s).\n"
    assert done == (2, "", f"lstm run: error: --scheduler tcp://x:1: {text}")


@pytest.mark.parametrize("error", [CancelledError(), OSError("Stream is closed")])
def test_a_scheduler_that_is_lost_during_the_run(
    library: Any, error: Exception
) -> None:
    library.submit = raises(error)
    text = "the run on the cluster failed: the connection to the scheduler was lost"
    with (
        pytest.raises(UserError, match=text),
        dask_cluster.cluster("tcp://x:1") as executor,
    ):
        executor.submit(abs, -1)


def test_a_cluster_that_fails(library: Any) -> None:
    with dask_cluster.cluster("tcp://x:1") as executor:
        assert executor.submit(abs, -1).result() == 1
        for error in (UserError("of the work"), MemoryError("of the work")):
            with pytest.raises(type(error), match="of the work"):
                executor.submit(raises(error)).result()
        text = (
            "the run on the cluster failed: No module named 'lstmcli'; "
            "its workers need lstmcli too"
        )
        with pytest.raises(UserError, match=text):
            executor.submit(
                raises(ModuleNotFoundError("No module named 'lstmcli'"))
            ).result()


def test_logs_of_the_library_are_not_shown(
    library: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with dask_cluster.cluster("tcp://x:1"):
        logging.getLogger("distributed.client").critical("reconnecting")
    assert caplog.records == []
    logging.getLogger("distributed.client").critical("after the run")
    assert len(caplog.records) == 1


def test_without_the_library_the_way_out_is_reported(
    lstm: Lstm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    text = "lstm run: error: a scheduler of Dask needs distributed:\n"
    text += f"  {sys.executable} -m pip install 'distributed>=2024.1'\n"
    assert lstm(*RUN, "tcp://127.0.0.1:9") == (2, "", text)


def test_a_cluster_runs_what_would_be_written_step_by_step(
    lstm: Lstm, library: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that streams is one process: --scheduler would do nothing."""
    asked: list[Any] = []
    submit = library.submit
    library.submit = lambda *task, **how: asked.append(task) or submit(*task, **how)  # type: ignore[func-returns-value]
    csv = lstm(*RUN, "tcp://x:1", "-f", "csv").out
    assert asked
    assert csv == lstm(*RUN[:3], "-f", "csv").out
