"""A page of `--page`, read as a browser reads it."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np

from lstmcli.core.model.arrays import Array


class Page(HTMLParser):
    """Its tags, its text by tag, the data of its script, and their arrays."""

    def __init__(self, path: str | Path) -> None:
        super().__init__()
        self.size = Path(path).stat().st_size
        self.tags: list[tuple[str, dict[str, str | None]]] = [("html", {})]
        self.texts: dict[str, str] = {}
        self.feed(Path(path).read_text("utf-8"))
        self.data: dict[str, Any] = json.loads(self.texts["data"])

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        tag, attributes = self.tags[-1]
        name = attributes.get("id") or tag
        self.texts[name] = self.texts.get(name, "") + data

    def names(self) -> set[str]:
        """The names of its tags."""
        return {tag for tag, _ in self.tags}

    def planes(self, label: str = "") -> Iterator[tuple[str, Array]]:
        """The arrays of a view: (items, steps, units)."""
        views = [view["label"] for view in self.data["views"]]
        for plane in self.data["planes"]:
            if plane["view"] == views.index(label):
                axes = zip(
                    (plane["steps"], plane["units"]), self.data["pooling"], strict=True
                )
                cells = [-(-axis["count"] // pool) for axis, pool in axes]
                dtype = "<f8" if self.data["exact"] else "<f4"
                values = np.frombuffer(b64decode(plane["data"]), dtype)
                yield plane["name"], values.reshape(-1, *cells)
