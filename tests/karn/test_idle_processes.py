"""Query processes that end while nobody uses them."""

from __future__ import annotations

import os
import signal
from contextlib import suppress

from esper.karn.mcp.run_list import run_list
from esper.karn.store.worker import StoreWorker
from support import write_run


async def test_a_process_that_died_idle_costs_the_next_caller_nothing(tmp_path):
    write_run(tmp_path, "run", episodes=1, epochs=2)
    worker = StoreWorker(tmp_path)
    try:
        first = await worker.run(run_list, 10, None)
        for process in list(worker._processes._idle):
            os.kill(process.pid, signal.SIGKILL)
            with suppress(ChildProcessError):  # the event loop's own thread was faster
                os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        again = await worker.run(run_list, 10, None)
    finally:
        await worker.close()
    assert first.row_count == again.row_count == 1
