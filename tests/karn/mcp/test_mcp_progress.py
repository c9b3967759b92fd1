"""A first look at a large folder takes its time: it says how far it is, and can be cancelled."""

from __future__ import annotations

from pathlib import Path

import anyio
from mcp_support import Connect, ask

from support import write_run

LARGE_BYTES = 80_000_000


def make_large(folder: Path) -> None:
    """A run with few events of much text: slow to read, quick to write."""
    line = b'{"event_type": "X", "message": "' + b"x" * 50_000 + b'"}\n'
    path = folder / "large" / "events.jsonl"
    path.parent.mkdir(parents=True)
    with path.open("wb") as file:
        while file.tell() < LARGE_BYTES:
            file.write(line * 100)


async def test_the_first_load_reports_its_progress(connect: Connect, telemetry: Path) -> None:
    make_large(telemetry)
    told: list[tuple[float, float | None]] = []

    async def on_progress(done: float, total: float | None, message: str | None) -> None:
        told.append((done, total))
        assert message == "reading new telemetry [bytes]"

    async with connect(telemetry) as client:
        result = await client.call_tool("list_runs", {}, progress_callback=on_progress)
    assert not result.is_error
    assert told
    assert told == sorted(told)
    size = (telemetry / "large" / "events.jsonl").stat().st_size
    assert all(0 < done <= size and total == size for done, total in told)


async def test_the_first_load_can_be_cancelled(connect: Connect, telemetry: Path) -> None:
    make_large(telemetry)
    async with connect(telemetry) as client:
        begun = anyio.Event()

        async def on_progress(done: float, total: float | None, message: str | None) -> None:
            begun.set()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: client.call_tool("list_runs", {}, progress_callback=on_progress))
            await begun.wait()
            tasks.cancel_scope.cancel()
        write_run(telemetry, "second", episodes=1)
        assert (await ask(client, "list_runs"))["row_count"] == 2
