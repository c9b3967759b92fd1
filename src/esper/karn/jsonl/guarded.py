"""Writing that never raises into a training: losses are counted, said once and recorded in the file."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Sequence
from time import time_ns

import msgspec

from esper.karn.jsonl.envelope import Envelope
from esper.karn.jsonl.writer import LineWriter
from esper.leyline.codec import encode_data
from esper.leyline.events import TelemetryEventType
from esper.leyline.payloads import EventsDroppedPayload

_log = logging.getLogger("karn")


class Gap(msgspec.Struct, frozen=True):
    """A stretch of events that could not be written."""

    count: int
    first_seq: int
    last_seq: int
    reason: str


class GuardedWriter:
    """A LineWriter whose failures become a Gap, recorded in the file once writing works again.

    Not thread-safe: one thread at a time.

    Args:
        writer: the file.
        envelope: makes the line that records a gap.
    """

    def __init__(self, writer: LineWriter, envelope: Envelope) -> None:
        self.file = writer
        self._envelope = envelope
        self._said = False
        self.gap: Gap | None = None
        """The gap that is not recorded yet."""
        self.dropped = 0
        """Events lost so far."""

    def ready(self) -> bool:
        """Record the gap that is open, if there is one; False if that fails, and so would the next line."""
        if self.gap is None:
            return True
        seq = self._envelope.next_seq
        try:
            self.file.write(self._line_of(self.gap))
        except OSError:
            self._envelope.next_seq = seq  # no hole where a number was taken for a line that never was
            return False
        self.gap = None
        return True

    def write_many(self, first_seq: int, lines: Sequence[bytes]) -> None:
        """Write lines that were numbered one by one, in as few system calls as it takes."""
        last_seq = first_seq + len(lines) - 1
        if not self.ready():
            self.lost(first_seq, last_seq)
            return
        whole, error = self.file.write_many(lines)
        if error is not None and whole < len(lines):
            self.lost(first_seq + whole, last_seq, error)

    def close(self) -> None:
        """Record a gap that is still open, if that is possible now, and close the file."""
        self.ready()
        try:
            self.file.close()
        except OSError as error:
            self._say(f"telemetry in {self.file.path} may not be whole ({_reason(error)})")

    def lost(self, first_seq: int, last_seq: int, error: OSError | None = None) -> None:
        """Count events as lost, by an error or because the gap before them is still open."""
        count = last_seq - first_seq + 1
        self.dropped += count
        before = self.gap
        reason = before.reason if error is None and before is not None else _reason(error)
        self.gap = Gap(
            count=count + (0 if before is None else before.count),
            first_seq=first_seq if before is None else before.first_seq,
            last_seq=last_seq,
            reason=reason,
        )
        if not self._said:
            self._said = True
            self._say(f"telemetry can't be written to {self.file.path} ({reason}); training goes on")

    def _line_of(self, gap: Gap) -> bytes:
        data = encode_data(
            EventsDroppedPayload(
                count=gap.count, first_seq=gap.first_seq, last_seq=gap.last_seq, reason=gap.reason
            )
        )
        envelope = self._envelope
        if gap.first_seq == envelope.first_seq:  # the event that had the stamp is lost
            data = envelope.stamped(data)
        form = envelope.form(TelemetryEventType.EVENTS_DROPPED, severity="warning")
        return envelope.line(form, None, data, time_ns())

    def _say(self, text: str) -> None:
        with contextlib.suppress(Exception):  # a log handler that fails is no reason to stop a training
            _log.warning("%s", text)


def _reason(error: OSError | None) -> str:
    return (error and error.strerror) or type(error).__name__
