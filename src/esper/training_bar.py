"""The bar of a training on its terminal: how far it is, and what it is about."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from esper.leyline.actions import LifecycleOp

if TYPE_CHECKING:
    from esper.simic.distributed import World
    from esper.simic.trainer import Progress

__all__ = ["TrainingBar", "state_line", "training_bar"]

_NAMED = {
    LifecycleOp.GROW_INTERNAL: "GROW",
    LifecycleOp.SHRINK_INTERNAL: "SHRINK",
    LifecycleOp.NOOP: "NOOP",
}


class TrainingBar(NamedTuple):
    """How a training is told while it goes on."""

    start: Callable[[], None]
    advance: Callable[[Progress], None] | None


def state_line(now: Progress) -> str:
    """Accuracy, parameters, what was done so far and how often it went back: one line."""
    counts = now.op_counts
    ops = [f"{counts.get(op.name, 0)} {name}" for op, name in _NAMED.items()]
    others = sum(counts.values()) - sum(counts.get(op.name, 0) for op in _NAMED)
    rate = "-" if now.reversal_rate is None else f"{now.reversal_rate:.2f}"
    return (
        f"accuracy {now.accuracy:.3f}  reversal rate {rate}  params {now.params:,.0f}  "
        f"{', '.join(ops)}, {others} other"
    )


def _tell_episode(now: Progress) -> None:
    if now.epoch == now.max_epochs:
        print(f"episode {now.episode + 1}/{now.n_episodes}: {state_line(now)}", file=sys.stderr, flush=True)


@contextmanager
def training_bar(world: World) -> Iterator[TrainingBar]:
    """A bar on rank 0's terminal, shown once it is started; where there is none, a line for each episode."""
    if world.rank != 0:
        yield TrainingBar(lambda: None, None)
        return
    if not sys.stderr.isatty():
        yield TrainingBar(lambda: None, _tell_episode)
        return
    from rich.console import Console, RenderableType
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar
    from rich.text import Text

    class TwoLines(Bar):
        state = ""

        def get_renderables(self) -> Iterable[RenderableType]:
            yield from super().get_renderables()
            if self.state:
                yield Text(self.state)

    bar = TwoLines(
        TextColumn("episode {task.fields[episode]}"),
        BarColumn(None),
        MofNCompleteColumn(),
        TextColumn("epochs"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        expand=True,
    )
    task = bar.add_task("train", episode="-", total=None)

    def on_epoch(now: Progress) -> None:
        bar.state = state_line(now)
        episode = f"{now.episode + 1}/{now.n_episodes}"
        bar.update(task, completed=now.done, total=now.total, episode=episode)

    try:
        yield TrainingBar(bar.start, on_epoch)
    finally:
        bar.stop()
