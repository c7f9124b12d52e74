"""A model of several cells: which reading of its layout and its merge EXPECTED is searched under.

Each cell's own settings are searched as `network` and `directions` have it; how the inputs lie and
how two directions become one output decide what of EXPECTED is whose, so they come first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import inf
from time import monotonic

from lstmcli.core.explain import decisions
from lstmcli.core.explain.cells import by_cells, closest
from lstmcli.core.explain.directions import directions_of
from lstmcli.core.explain.joining import joined, size
from lstmcli.core.explain.network import Network
from lstmcli.core.explain.places import PLACES, UNITS
from lstmcli.core.explain.question import Prepared
from lstmcli.core.explain.remarks import ALL_ZERO
from lstmcli.core.explain.result import Explanation
from lstmcli.core.explain.search import LEVELS, Progress
from lstmcli.core.explain.space import Changes
from lstmcli.core.explain.whole import Whole
from lstmcli.core.forward.blas import one_thread

MOST_PLACES = 2  # the likeliest ones that are searched for more, and the one that comes nearest
PATIENCE = 15.0  # seconds after which no further place is searched for more than one change
MOST_DEEP = 2  # layouts and merges, the nearest ones, that are searched with two changes
ENOUGH = 3  # different numbers that prove a layout or a merge: there are few of them to choose from


def explain_network(prepared: Prepared, progress: Progress) -> Explanation:
    """The explanation of a model of several cells.

    Raises
    ------
    UserError
        if EXPECTED is no result of such a run.
    """
    own = [Network(prepared, case) for case in prepared.cases()]
    others = sorted(_others(prepared, own), key=lambda n: len(n.base))
    networks = sorted([*own, *others], key=lambda n: len(n.base))
    fitting = [n for n in networks if n.judge(()).fits]
    if fitting and not fitting[0].base:
        return fitting[0].explanation("agrees", (), fitting[0].judge(()))
    parts = _elsewhere(prepared)
    if prepared.all_zero and (networks or parts):
        first = (networks or parts)[0]
        return replace(first.explanation("none", (), first.judge(())), remarks=(ALL_ZERO,))
    if fitting:
        return _by_base(fitting, own, progress)
    if fitting := _fitting(parts):
        return replace(_by_base(fitting, own, progress), tried=1)
    with one_thread():  # small products: threads would wait for each other
        found = _searched(own, others, progress) if networks else None
        if found is None or found.verdict != "found":
            found = _of_part(parts, progress) or found
    if found is None:
        raise prepared.no_place()
    found = replace(found, tried=sum(n.tried for n in (*networks, *parts)))
    return found if found.verdict != "none" else _as_read(found, prepared, own or others)


def _elsewhere(prepared: Prepared) -> list[Network]:
    """EXPECTED as the output of a layer below the last, or of one direction, in every layout."""
    parts = [Network(part, case) for part in prepared.elsewhere() for case in part.cases()]
    # a last state is saved more often than one step of all rows
    return sorted([*parts, *_turned(parts)], key=lambda n: (len(n.base), not n.expected.finals))


def _fitting(parts: Sequence[Network]) -> list[Network]:
    """Those of the fewest changes that give EXPECTED as they are."""
    found: list[Network] = []
    for part in parts:
        if found and len(part.base) > len(found[0].base):
            break
        found += [part] * part.judge(()).fits
    return found


def _of_part(parts: Sequence[Network], progress: Progress) -> Explanation | None:
    """EXPECTED as the output of a part of the net that can be asked by itself, with a mistake."""
    likely = [_Parts(network) for network in _first_of_each(parts)]
    likely = sorted((one for one in likely if one.closest < inf), key=lambda one: one.closest)
    for level, some in ((1, likely), (2, likely[:MOST_DEEP])):
        for one in some:
            if (found := one.search(progress, level)).verdict == "found":
                return found
    return None


def _as_read(found: Explanation, prepared: Prepared, networks: Sequence[Network]) -> Explanation:
    """What no reading gives, beside what comes of it as it was read; or as it fits in at all."""
    first = networks[0]
    words = first.expected.words
    if first.prepared.merge:
        assumed, merge = first.prepared.merge
        words = (
            f"EXPECTED is no {assumed} of both directions by its width; it is compared with {merge}"
        )
    return replace(
        found, settings=prepared.model.settings(), measured=first.judge(()), placement=words
    )


def _others(prepared: Prepared, own: Sequence[Network]) -> Iterator[Network]:
    """The ways in which EXPECTED can lie under another layout or merge, or both."""
    yield from _turned(own)
    for merged in prepared.merged_otherwise():
        networks = [Network(merged, case) for case in merged.cases()]
        yield from networks
        yield from _turned(networks)


def _turned(networks: Sequence[Network]) -> Iterator[Network]:
    for network in networks:
        for layout, expected in network.case.expected.items():
            if layout != network.case.layout:
                case = replace(network.case, layout=layout, expected={layout: expected})
                yield Network(network.prepared, case)


def _by_base(fitting: Sequence[Network], own: Sequence[Network], progress: Progress) -> Explanation:
    """Another layout or merge is all that EXPECTED needs."""
    fewest = len(fitting[0].base)
    ways = {n.base: n for n in reversed(fitting) if len(n.base) == fewest}
    answers = [n.proved((), n.judge(()), n.distinct >= ENOUGH) for n in reversed(ways.values())]
    if 1 in fitting[0].case.x.shape[:-1]:  # rows of one step are steps that start from zero
        assumed = next((n for n in own if not n.base), None)
        reset = assumed and by_cells(assumed, progress, levels=1)
        if reset and reset.verdict != "none" and len(reset.changes) <= fewest:
            answers = [replace(reset, decide="a second row in the batch"), *answers]
    first, *rest = answers
    return replace(first, equivalent=(*first.equivalent, *(one.changes for one in rest)))


def _searched(own: Sequence[Network], others: Sequence[Network], progress: Progress) -> Explanation:
    """As assumed first; then under another layout or merge, beside one further change, or two.

    One change is looked for in every place in which EXPECTED can lie, more of them in a few.
    """
    parts = [_Parts(network) for network in _places(own)]
    changed = sorted((_Parts(n) for n in _first_of_each(others)), key=lambda one: one.closest)
    answers: list[Explanation] = []
    for some in (parts, changed):
        answers += (single := _by_one_change(some, progress))
        if fitting := [answer for answer in single if answer.verdict != "none"]:
            return _joined(fitting)
    untried: dict[str, None] = {}  # by the deepest searches
    begun = monotonic()
    likely = _likeliest_first(parts)
    for level, some in ((LEVELS, likely), (2, changed[:MOST_DEEP])):
        for n, one in enumerate(some):
            if n > MOST_PLACES and monotonic() - begun > PATIENCE:
                left = f"two changes at once in {len(some) - n} of the {len(own)} places"
                untried[f"{left} where EXPECTED can lie"] = None
                break
            answers.append(one.search(progress, level))
            untried |= dict.fromkeys(answers[-1].untried)
            if answers[-1].verdict != "none" and size(answers[-1]) <= 2 + len(one.network.base):
                return answers[-1]
        if any(answer.verdict != "none" for answer in answers):
            break
    best = min(answers, key=_order)
    return best if best.verdict != "none" else replace(best, untried=tuple(untried))


def _by_one_change(parts: Sequence[_Parts], progress: Progress) -> list[Explanation]:
    """What one change gives in each place; once a row of the batch is proved, no other is asked."""
    answers: list[Explanation] = []
    proved: set[Changes] = set()  # what EXPECTED is one row of the batch with
    for one in parts:
        row, base = one.network.expected.row, one.network.base
        if row is not None and base in proved:
            continue
        answers.append(one.search(progress, 1))
        if row is not None and answers[-1].verdict == "found":
            proved.add(base)
    return answers


def _joined(fitting: Sequence[Explanation]) -> Explanation:
    _, whole, elsewhere = joined(fitting)
    return replace(whole, decide=whole.decide or decisions.WHOLE) if elsewhere else whole


def _places(own: Sequence[Network]) -> list[Network]:
    """Those in which one change is looked for: of small nets, more."""
    few, many = PLACES
    units = max((cell.units for n in own for _, cell in n.model.cells), default=1)
    most = max(few, min(many, UNITS // units))
    as_given = [n for n in own if not n.base]
    turned = [n for n in own if n.base]
    return [*as_given[:most], *turned[: most if not as_given else most // few * MOST_PLACES]]


class _Parts:
    """A network with what can be asked of its parts."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.directions = directions_of(network)
        self.whole = Whole(network)

    @property
    def closest(self) -> float:
        """How near any single change of a part comes to EXPECTED."""
        return self.directions.closest if self.directions else closest(self.network)

    @property
    def nearest(self) -> float:
        """The same, or how near any change of the whole came that was tried."""
        return min([self.closest, *(verdict.rms for _, verdict in self.whole.results)])

    def search(self, progress: Progress, levels: int) -> Explanation:
        """Cell by cell, by directions, or as a whole where no part can be asked by itself."""
        if (found := by_cells(self.network, progress, levels)) is not None:
            return found
        if self.directions is not None:
            return self.directions.search(progress, levels)
        return self.whole.search(progress, levels)


def _first_of_each(networks: Sequence[Network]) -> list[Network]:
    """The likeliest places of EXPECTED under each single change of layout or merge."""
    by_base: dict[Changes, list[Network]] = {}
    for network in networks:
        if len(network.base) == 1:
            by_base.setdefault(network.base, []).append(network)
    return [network for of_base in by_base.values() for network in of_base[:MOST_PLACES]]


def _likeliest_first(parts: Sequence[_Parts]) -> list[_Parts]:
    """The first ones, and then what comes nearer with one change; few under another layout."""
    nearer = [*parts[:MOST_PLACES], *sorted(parts[MOST_PLACES:], key=lambda one: one.nearest)]
    as_given = [one for one in nearer if not one.network.base]
    turned = [one for one in nearer if one.network.base]
    return [*as_given, *turned[:MOST_DEEP]]


def _order(one: Explanation) -> tuple[bool, int, float]:
    nearest = min((near.verdict.rms for near in one.nearest), default=inf)
    return one.verdict == "none", len(one.changes), nearest
