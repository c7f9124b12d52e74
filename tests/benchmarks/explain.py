"""How long `explain` takes: questions of the record, and the seconds that each may take."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median

from tests.core.explain.record import asked, differences, recorded

BOUNDS = {  # seconds of the processor
    "matrix/128 units/order-ifgo": 0.5,
    "matrix/128 units/order + forget 0": 0.5,
    "matrix/128 units/TF1 in old Keras: order + 1.0 + hard sigmoid": 1.0,
    "part/one last h/order-ifgo": 2.0,
    "network/long both/last h, recurrent_activation=hard_sigmoid_1_6, 60x64, float32": 5.0,
    "network/long both/last h, gates=ifgo + forget_bias=0.0, 60x96, 4 digits": 10.0,
    "network/refused/near miss, stacked, float32": 8.0,
}


def explain(rounds: int, small: bool) -> Iterator[str]:
    """A line a question: the seconds, the bound, and whether the answer is the recorded one."""
    record = recorded()
    yield f"\n{'question to explain':84}{'seconds':>9}{'bound':>7}  answer"
    for name, bound in list(BOUNDS.items())[: 1 if small else None]:
        lines, times = zip(*(asked(name) for _ in range(rounds)), strict=True)
        answer = (
            "other than recorded"
            if differences(record[name], lines[0], words=False)
            else "as recorded"
        )
        yield f"{name:84}{median(times):>9.2f}{bound:>7}  {answer}"
