"""What a command line gives to read: the files beside the inputs, and a whole job."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lstmcli.api.job import Beside, Job, load_job
from lstmcli.cli.console import remark, standard_input


def beside_from(options: Mapping[str, Any]) -> Beside:
    """The files that come with the inputs, by the options for them."""
    return Beside(**{name: options[name] for name in Beside._fields})


def read_job(
    paths: Sequence[str],
    settings: Mapping[str, Any],
    options: Mapping[str, Any],
    *,
    inputs_needed: bool = True,
) -> Job:
    """Weights, inputs and what is beside them; what is to be known of them goes to stderr.

    Raises
    ------
    UserError
        for whatever is wrong with paths, files, names or shapes.
    """
    job = load_job(
        paths,
        settings,
        stdin=standard_input(),
        beside=beside_from(options),
        inputs_needed=inputs_needed,
    )
    for text in job.model.remarks:
        remark(text)
    return job
