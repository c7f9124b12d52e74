"""The settings of one LSTM in the metadata of its files."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple


class MetadataSettings(NamedTuple):
    """The settings of one LSTM in the metadata of a file; those missing or unsupported."""

    settings: Mapping[str, Any] = {}
    remarks: tuple[str, ...] = ()
    assumed: Mapping[str, str] = {}  # setting that the file leaves open -> the assumption
    unknown: Mapping[str, str] = {}  # setting with a value that is not supported -> message
    last_step: bool = False  # in its network, only the last step goes on to what follows
    lengths: tuple[int, ...] = ()  # valid steps of each sequence, from the file
    backward: Mapping[str, Any] = {}  # of the backward cell, where one tensor stores both
    classes: tuple[str, ...] = ()  # the assumptions about classes of the model's author

    def of_convention(self, takes: Collection[str]) -> MetadataSettings:
        """Without the assumed values of settings that the convention does not take.

        A version's default gates are those of its LSTM; its CuDNNLSTM has no such setting.
        """
        fixed = self.assumed.keys() - set(takes)
        settings = {name: value for name, value in self.settings.items() if name not in fixed}
        assumed = {name: text for name, text in self.assumed.items() if name not in fixed}
        return self._replace(settings=settings, assumed=assumed)


def merge_metadata(per_file: Sequence[MetadataSettings]) -> MetadataSettings:
    """The metadata of all files on one cell; a setting that one has is not assumed for another."""
    known = {name for one in per_file for name in one.settings.keys() - one.assumed.keys()}
    merged: dict[str, dict[str, Any]] = {
        "settings": {},
        "assumed": {},
        "unknown": {},
        "backward": {},
    }
    for one in per_file:
        replaced = known & one.assumed.keys()
        for name, values in merged.items():
            of_file = getattr(one, name)
            left_out = replaced if name in ("settings", "assumed") else ()
            values |= {k: v for k, v in of_file.items() if k not in left_out}
    return MetadataSettings(
        remarks=tuple(remark for one in per_file for remark in one.remarks),
        last_step=any(one.last_step for one in per_file),
        lengths=next((one.lengths for one in per_file if one.lengths), ()),
        classes=tuple(dict.fromkeys(text for one in per_file for text in one.classes)),
        **merged,
    )


Groups = Sequence[Mapping[str, Any]]
"""The metadata groups that contain a cell's tensors, the outermost first."""
