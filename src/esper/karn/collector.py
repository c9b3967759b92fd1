"""Writes a training's events to its run folder. It computes nothing; the trackers belong to simic."""

from __future__ import annotations

import itertools
import os
import threading
import time
import weakref
from pathlib import Path
from secrets import token_hex
from types import TracebackType
from typing import Any

import msgspec

from esper.karn.jsonl.guarded import BufferedWriter, Gap, GuardedWriter
from esper.karn.jsonl.writer import LineWriter
from esper.karn.settings import check_run_dir, event_file_name, new_run_dir
from esper.karn.settings import telemetry_dir as telemetry_folder
from esper.leyline.codec import encode_event
from esper.leyline.errors import TelemetryUsageError
from esper.leyline.events import SCHEMA, EventSink, TelemetryEvent, TelemetryEventType
from esper.leyline.payloads import EventsDroppedPayload, Payload

__all__ = ["TelemetryCollector"]

_open_collectors: weakref.WeakSet[TelemetryCollector] = weakref.WeakSet()


class TelemetryCollector:
    """The event sink of one rank: each event becomes one whole line of the run's file.

    A full disk or another failing write never reaches the training: the event is counted as dropped,
    the failure is logged once, and when writing works again an EVENTS_DROPPED event records the gap.
    ``emit`` may be called from any thread; a forked child gets a closed sink.

    Args:
        telemetry_dir: folder of all runs; None takes KARN_TELEMETRY_DIR, else ``telemetry``.
        run_dir: this run's folder in it; an existing one is resumed. None makes a new name.
        rank: this process, 0 to world_size - 1. Each rank writes its own file.
        world_size: processes of this run.
        envs_per_rank: environments of each rank; ``for_env`` makes ``env_id`` unique with it.
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
        if not 0 <= rank < world_size:
            raise TelemetryUsageError(
                f"rank {rank} of world_size {world_size}: must be 0 <= rank < world_size"
            )
        if envs_per_rank < 1:
            raise TelemetryUsageError(f"envs_per_rank must be at least 1, not {envs_per_rank}")
        self.run_dir = new_run_dir() if run_dir is None else check_run_dir(run_dir)
        self.rank = rank
        self.world_size = world_size
        self.envs_per_rank = envs_per_rank
        self.group_id = group_id
        folder = telemetry_folder(telemetry_dir) / self.run_dir
        self._writer = LineWriter(folder / event_file_name(rank, world_size))
        attempts_before, next_seq = self._writer.history()
        self.attempt = attempts_before + 1
        """1 for a new file, one more for each time it was opened before."""
        self._seq = itertools.count(next_seq)
        # The inode tells a reader that the file is the original: of a copy, nobody can say whether
        # its writer lives.
        self._stamp: dict[str, Any] | None = {
            "attempt": self.attempt,
            "world_size": world_size,
            "inode": self._writer.inode,
        }
        self._lock = threading.Lock()
        self._id_prefix = f"{rank:x}.{token_hex(4)}-"
        self._second = -1
        self._second_text = ""
        self._guarded = GuardedWriter(self._writer, self._gap_line)
        self._buffer = BufferedWriter(self._guarded) if buffered else None
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
        return self._writer.path

    def for_env(self, local: int) -> EventSink:
        """A sink that stamps ``env_id = rank * envs_per_rank + local``.

        Raises:
            TelemetryUsageError: if ``local`` is not in 0 to envs_per_rank - 1.
        """
        if not 0 <= local < self.envs_per_rank:
            raise TelemetryUsageError(
                f"environment {local} is not one of this rank's {self.envs_per_rank}: "
                f"open TelemetryCollector(..., envs_per_rank={local + 1}) or more"
            )
        return _EnvSink(self, self.rank * self.envs_per_rank + local)

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
            TypeError: if the payload holds something that is not a number, text, list or dict.
        """
        if getattr(payload, "env_id", 0) is None:
            payload = msgspec.structs.replace(payload, env_id=self._only_env())
        with self._lock:
            if self._closed:
                self._after_close += 1
                return
            seq = next(self._seq)
            line = self._line(seq, event_type, payload, slot_id, seed_id, epoch, message, severity)
            if self._buffer is not None:
                self._buffer.put(seq, line)
                self._stamp = None
            elif self._guarded.write(seq, line):
                self._stamp = None

    def _only_env(self) -> int:
        if self.envs_per_rank > 1:
            raise TelemetryUsageError(
                f"an event without env_id, and this rank has {self.envs_per_rank} environments: "
                "emit through collector.for_env(index)"
            )
        return self.rank

    def _line(
        self,
        seq: int,
        event_type: TelemetryEventType,
        payload: Payload,
        slot_id: str | None = None,
        seed_id: str | None = None,
        epoch: int | None = None,
        message: str = "",
        severity: str = "info",
    ) -> bytes:
        second, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
        if second != self._second:
            # One second's text serves all its events; formatting it costs more than the rest.
            self._second_text = time.strftime("%Y-%m-%dT%H:%M:%S.", time.gmtime(second))
            self._second = second
        event = TelemetryEvent(
            event_id=f"{self._id_prefix}{seq}",
            event_type=event_type,
            timestamp=f"{self._second_text}{nanoseconds // 1000:06d}+00:00",
            seed_id=seed_id,
            slot_id=slot_id,
            epoch=epoch,
            group_id=self.group_id,
            message=message,
            data=payload,
            severity=severity,
            rank=self.rank,
            seq=seq,
            schema=SCHEMA,
        )
        return encode_event(event, self._stamp)

    def _gap_line(self, gap: Gap) -> bytes:
        payload = EventsDroppedPayload(
            count=gap.count, first_seq=gap.first_seq, last_seq=gap.last_seq, reason=gap.reason
        )
        return self._line(next(self._seq), TelemetryEventType.EVENTS_DROPPED, payload, severity="warning")

    def flush(self) -> None:
        """Wait until every event emitted so far is in the file."""
        if self._buffer is not None:
            self._buffer.flush()

    def close(self) -> None:
        """Write what is buffered and close the file; later events are counted as dropped."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        if self._buffer is not None:
            self._buffer.close()
        self._guarded.close()
        _open_collectors.discard(self)

    def _close_in_child(self) -> None:
        # Another thread may have held the lock when the process forked, and the writer thread is not
        # there in the child.
        self._lock = threading.Lock()
        self._closed = True
        self._buffer = None
        self._writer.close()

    def __enter__(self) -> TelemetryCollector:
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class _EnvSink:
    """The sink of one environment."""

    __slots__ = ("_collector", "_env_id")

    def __init__(self, collector: TelemetryCollector, env_id: int) -> None:
        self._collector = collector
        self._env_id = env_id

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
        """Write one event of this environment; see TelemetryCollector.emit."""
        if "env_id" in payload.__struct_fields__:
            payload = msgspec.structs.replace(payload, env_id=self._env_id)
        self._collector.emit(
            event_type,
            payload,
            slot_id=slot_id,
            seed_id=seed_id,
            epoch=epoch,
            message=message,
            severity=severity,
        )


def _close_all_in_child() -> None:
    for collector in list(_open_collectors):
        collector._close_in_child()
    _open_collectors.clear()


os.register_at_fork(after_in_child=_close_all_in_child)
