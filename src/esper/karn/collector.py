"""Writes a training's events to its run folder. It computes nothing; the trackers belong to simic."""

from __future__ import annotations

import atexit
import contextlib
import logging
import operator
import os
import weakref
from pathlib import Path
from types import TracebackType

from esper.karn.env_sink import EnvSink
from esper.karn.jsonl.buffered import BufferedWriter
from esper.karn.jsonl.direct import DirectWriter
from esper.karn.jsonl.envelope import Envelope
from esper.karn.jsonl.guarded import GuardedWriter
from esper.karn.jsonl.writer import LineWriter
from esper.karn.settings import check_run_dir, event_file_name, new_run_dir
from esper.karn.settings import telemetry_dir as telemetry_folder
from esper.leyline.errors import TelemetryUsageError
from esper.leyline.events import EventSink, TelemetryEventType
from esper.leyline.payloads import Payload

__all__ = ["TelemetryCollector"]

_log = logging.getLogger("karn")

_open_collectors: weakref.WeakSet[TelemetryCollector] = weakref.WeakSet()


class TelemetryCollector:
    """The event sink of one rank: each event becomes one whole line of the run's file.

    A full disk or another failing write never reaches the training: the event is counted as dropped,
    the failure is logged once, and when writing works again an EVENTS_DROPPED event records the gap.
    ``emit`` may be called from any thread; a forked child gets a closed sink.

    Args:
        telemetry_dir: folder of all runs; None takes KARN_TELEMETRY_DIR, else ``telemetry``.
        run_dir: this run's folder in it; an existing one is resumed. None makes a new name, on which
            several ranks can't agree: give them one.
        rank: this process, 0 to world_size - 1. Each rank writes its own file.
        world_size: processes of this run.
        envs_per_rank: environments of each rank, the same number on all: ``for_env`` makes ``env_id``
            unique with it.
        group_id: a name for runs that belong together.
        buffered: hand lines to a thread, for thousands of events a second. A killed process then loses
            what the thread had not written, at most a few thousand events; nothing is dropped silently.

    Raises:
        TelemetryUsageError: if rank, world_size, envs_per_rank or run_dir can't be.
        RunLockedError: if another process writes this rank's file.
        TelemetryFileError: if the folder can't be written.
    """

    def __init__(
        self,
        telemetry_dir: str | os.PathLike[str] | None = None,
        run_dir: str | None = None,
        rank: int = 0,
        world_size: int = 1,
        envs_per_rank: int = 1,
        group_id: str = "default",
        buffered: bool = False,
    ) -> None:
        rank, world_size = _whole("rank", rank), _whole("world_size", world_size)
        envs_per_rank = _whole("envs_per_rank", envs_per_rank)
        if not 0 <= rank < world_size:
            raise TelemetryUsageError(
                f"rank {rank} of world_size {world_size}: must be 0 <= rank < world_size"
            )
        if envs_per_rank < 1:
            raise TelemetryUsageError(f"envs_per_rank must be at least 1, not {envs_per_rank}")
        if run_dir is None and world_size > 1:
            _log.warning("without a run_dir each of %d ranks writes a run of its own: name it", world_size)
        self.run_dir = new_run_dir() if run_dir is None else check_run_dir(run_dir)
        self.rank = rank
        self.world_size = world_size
        self.envs_per_rank = envs_per_rank
        self.group_id = group_id
        folder = telemetry_folder(telemetry_dir) / self.run_dir
        self._file = LineWriter(folder / event_file_name(rank, world_size))
        attempts, first_seq = self._file.history()
        self.attempt = attempts + 1
        """1 for a new file, one more for each time it was opened before."""
        # The inode tells a reader that the file is the original: of a copy, nobody can say whether
        # its writer lives.
        stamp = {"attempt": self.attempt, "world_size": world_size, "inode": self._file.inode}
        self._envelope = Envelope(rank, group_id, first_seq, stamp)
        self._guarded = GuardedWriter(self._file, self._envelope)
        make_writer = BufferedWriter if buffered else DirectWriter
        self._writer = make_writer(self._guarded, self._envelope, self._refuse)
        self._sink = EnvSink(self._envelope, self._writer.put, None, rank if envs_per_rank == 1 else None)
        self._after_close = 0
        self._closed = False
        _open_collectors.add(self)

    @property
    def dropped(self) -> int:
        """Events that could not be written since this sink was opened."""
        return self._guarded.dropped + self._after_close

    @property
    def path(self) -> Path:
        """The file that this rank writes."""
        return self._file.path

    def for_env(self, local: int) -> EventSink:
        """A sink that stamps ``env_id = rank * envs_per_rank + local``.

        Raises:
            TelemetryUsageError: if ``local`` is not in 0 to envs_per_rank - 1.
        """
        local = _whole("environment", local)
        if not 0 <= local < self.envs_per_rank:
            raise TelemetryUsageError(
                f"environment {local} is not one of this rank's {self.envs_per_rank}: they count from 0"
                + (f"; open TelemetryCollector(..., envs_per_rank={local + 1}) or more" if local > 0 else "")
            )
        return EnvSink(self._envelope, self._writer.put, self.rank * self.envs_per_rank + local)

    def emit(
        self,
        event_type: TelemetryEventType,
        payload: Payload,
        *,
        slot_id: str | None = None,
        seed_id: str | None = None,
        epoch: int | None = None,
        message: str = "",
        severity: str = "info",
    ) -> None:
        """Write one event; when this returns, a killed process does not lose it (unless buffered).

        Raises:
            TelemetryUsageError: if the payload needs an ``env_id`` and has none: use ``for_env``.
            TypeError: if it is no payload, or holds something that is not a number, text, list or dict.
        """
        self._sink.emit(
            event_type,
            payload,
            slot_id=slot_id,
            seed_id=seed_id,
            epoch=epoch,
            message=message,
            severity=severity,
        )

    def _refuse(self, count: int) -> None:
        first = self._after_close == 0
        self._after_close += count
        if first:
            with contextlib.suppress(Exception):  # a log handler that fails must not stop a training
                _log.warning(
                    "telemetry of %s was closed in this process; its events are no longer recorded", self.path
                )

    def flush(self) -> None:
        """Wait until every event emitted so far is in the file."""
        self._writer.flush()

    def close(self) -> None:
        """Write what is buffered and close the file; later events are counted as dropped.

        Interrupted, as by Ctrl-C, it goes on when it is called again, or when the process ends.
        """
        if self._closed:
            return
        self._writer.close()
        self._closed = True  # only now, or what an interrupted close leaves would be lost
        _open_collectors.discard(self)

    def _close_in_child(self) -> None:
        self._closed = True
        self._writer.close_in_child()
        self._file.close_in_child()

    def __enter__(self) -> TelemetryCollector:
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _whole(name: str, value: object) -> int:
    try:
        return operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise TelemetryUsageError(f"{name} must be a whole number, not {value!r}") from None


def _close_all() -> None:
    """At exit: what a buffered collector still holds would be lost with its thread."""
    for collector in list(_open_collectors):
        collector.close()


def _close_all_in_child() -> None:
    for collector in list(_open_collectors):
        collector._close_in_child()
    _open_collectors.clear()


atexit.register(_close_all)
os.register_at_fork(after_in_child=_close_all_in_child)
