"""The environments of the checks; what is run in them are the words of .ci/run.

`nox -l` lists them, `nox -s NAME` makes one and runs its checks, `.ci/run all` goes through all.
"""

from __future__ import annotations

import json
import shutil
import tarfile
from pathlib import Path
from subprocess import DEVNULL

import nox
from nox.command import CommandFailed

nox.needs_version = ">=2025.2"
nox.options.default_venv_backend = "uv"
nox.options.sessions = ["checks"]

PYTHONS = ["3.11", "3.12", "3.13", "3.14"]
DEPENDENCIES = {"numpy", "click", "rich", "threadpoolctl"}


def run(session: nox.Session, word: str, **environment: str) -> None:
    """A word of .ci/run, with the session's Python."""
    session.run("bash", ".ci/run", word, external=True, env=environment)


@nox.session
def checks(session: nox.Session) -> None:
    """Lint and types, by the hooks that pre-commit runs before a commit."""
    session.install(".[dev]")
    session.run("pre-commit", "run", "--all-files", "--show-diff-on-failure")


def build(session: nox.Session) -> tuple[Path, Path]:
    """Build the sdist, and the wheel from it; both are checked as an index would."""
    built = Path(session.create_tmp(), "built")
    shutil.rmtree(built, ignore_errors=True)
    session.install("build", "twine")
    session.run("python", "-m", "build", "-q", "--outdir", str(built))
    (sdist,), (wheel,) = built.glob("*.tar.gz"), built.glob("*.whl")
    session.run("twine", "check", "--strict", str(sdist), str(wheel))
    return sdist, wheel


@nox.session(python=PYTHONS)
def started(session: nox.Session) -> None:
    """The wheel with nothing but its dependencies: the sample that it contains is explained."""
    _, wheel = build(session)
    session.install(str(wheel))
    session.chdir(wheel.parent)
    session.run("lstm", "--version")
    session.run("python", "-m", "lstmcli", "--help", silent=True)
    session.run("lstm", "init", "--example", "demo")
    files = [f"demo/{name}" for name in ("weights.npz", "inputs.npy", "numpy.txt")]
    session.run("lstm", "run", *files[:2])
    session.run("lstm", "explain", *files)


@nox.session(python=PYTHONS)
def packages(session: nox.Session) -> None:
    """The tests of the unpacked sdist against the installed wheel, with the newest dependencies."""
    sdist, wheel = build(session)
    session.install(f"{wheel}[test]")
    listed = session.run(
        "uv",
        "pip",
        "list",
        "--outdated",
        "--format",
        "json",
        silent=True,
        stderr=DEVNULL,
    )
    if behind := [row for row in json.loads(listed) if row["name"] in DEPENDENCIES]:
        found = [
            f"{row['name']} {row['version']}, not {row['latest_version']}"
            for row in behind
        ]
        session.error(
            f"the newest dependencies have to be tested; installed: {'; '.join(found)}"
        )

    with tarfile.open(sdist) as archive:
        archive.extractall(sdist.parent, filter="data")
    session.chdir(sdist.parent / sdist.name.removesuffix(".tar.gz"))
    shutil.rmtree("lstmcli")  # what is imported is what the wheel installed
    session.run("lstm", "--version")
    session.run("python", "-m", "lstmcli", "--help", silent=True)
    run(session, "test")


@nox.session(python=PYTHONS[0])
def oldest(session: nox.Session) -> None:
    """The oldest Python and libraries promised; `--force-python` takes a later Python.

    With that one, libraries are the oldest that have a wheel for it.
    """
    wheels = ("--only-binary", ":all:", "--no-binary", "lstmcli")
    # pyparsing 3.3 warns of what the oldest matplotlib calls
    session.install(
        "--resolution", "lowest-direct", *wheels, ".[test]", "pyparsing<3.3"
    )
    session.run("uv", "pip", "list")
    run(session, "test")


@nox.session
def slow(session: nox.Session) -> None:
    """The tests that take more than a second."""
    session.install(".[test]")
    run(session, "slow")


@nox.session
def development(session: nox.Session) -> None:
    """Small benchmarks, coverage of quick and slow tests, what they notice, and some wide ones."""
    session.install(".[dev]")
    for word in session.posargs or (
        "benchmarks",
        "coverage",
        "mutation",
        "wide_eighth",
    ):
        run(session, word)


@nox.session
def fuzz(session: nox.Session) -> None:
    """Every reader of files, for seconds each, with inputs that coverage leads to."""
    session.install(".[test,fuzz]")
    run(session, "fuzz")


@nox.session
def fuzz_minute(session: nox.Session) -> None:
    """Every reader of files, for two seconds each."""
    session.install(".[test,fuzz]")
    run(session, "fuzz_minute")


@nox.session
def frameworks(session: nox.Session) -> None:
    """Real frameworks load what we write, and run the same weights as we do."""
    session.install(".[test,dask,torch,onnxruntime,openvino,keras,jax]")
    # without them their tests are skipped
    imports = "import flax, jax, keras, onnxruntime, openvino, torch"
    session.run("python", "-c", imports, env={"KERAS_BACKEND": "torch"})
    run(session, "frameworks", KERAS_BACKEND="torch")


@nox.session
def browser(session: nox.Session) -> None:
    """The site and the pages of --page in Chromium, and the types of their script."""
    session.install(".[test,docs]", "playwright")
    run(session, "browser")


@nox.session
def tensorflow(session: nox.Session) -> None:
    """TensorFlow, and Keras on it, run the same weights as we do."""
    try:
        session.install(".[test,tensorflow]", "keras>=3.3")
    except CommandFailed:
        session.skip("TensorFlow does not install with this Python")
    session.run(
        "python", "-c", "import keras, tensorflow", env={"KERAS_BACKEND": "tensorflow"}
    )
    run(session, "conformance", KERAS_BACKEND="tensorflow")
