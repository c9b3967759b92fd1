"""Puts the envelope around what events carry: number, id, time, and the stamp on a process's first event."""

from __future__ import annotations

import time
from collections.abc import Mapping
from secrets import token_hex
from typing import Any

from esper.leyline.codec import encode_data, encode_text
from esper.leyline.events import SCHEMA

Form = bytes
"""The line that events alike have in common; ``Envelope.line`` fills in the rest."""

_SECOND_NS = 1_000_000_000


class Envelope:
    """Numbers the events of one writer and makes their lines. One thread at a time calls ``line``.

    Args:
        rank: the writer's.
        group_id: the run's group.
        first_seq: number of the first event.
        stamp: fields that the first event carries in its ``data``.
    """

    def __init__(self, rank: int, group_id: str, first_seq: int, stamp: Mapping[str, Any]) -> None:
        self._rank = rank
        self._group_id = group_id
        self._stamp = b"," + encode_data(dict(stamp))[1:]
        self._id_prefix = f"{rank:x}.{token_hex(6)}-"
        self.second_ns = -_SECOND_NS
        """Where the second of the last line began, since 1970-01-01 UTC [ns]."""
        self.second_text = b""
        self.first_seq = first_seq
        self.next_seq = first_seq
        """The number of the next line."""

    def form(
        self,
        event_type: str,
        slot_id: str | None = None,
        seed_id: str | None = None,
        epoch: int | None = None,
        message: str = "",
        severity: str = "info",
        *,
        env_id: int | None = None,
    ) -> Form:
        """What the lines of such events have in common.

        Where ``epoch`` is an int, ``line`` takes any int; where it is not, only this one. ``env_id`` is put
        before the fields of ``data``, which must have some then, and not this one.

        Raises:
            TypeError: if an argument can't be written.
        """
        values: tuple[Any, ...] = (
            self._id_prefix,
            event_type,
            seed_id,
            slot_id,
            epoch,
            self._group_id,
            message,
            severity,
        )
        texts = [encode_text(value).replace(b"%", b"%%") for value in values]
        texts[0] = texts[0].removesuffix(b'"')
        # A precision of 0 takes the argument and prints nothing of it.
        texts[4] = b"%d" if type(epoch) is int else texts[4] + b"%.0a"
        texts.insert(7, b"{%b" if env_id is None else b'{"env_id":%d,%%b' % env_id)
        common = (
            b'{"event_id":%b%%d","event_type":%b,"timestamp":"%%b%%06d+00:00","seed_id":%b,"slot_id":%b,'
            b'"epoch":%b,"group_id":%b,"message":%b,"data":%b,"severity":%b' % tuple(texts)
        )
        return common + b',"rank":%d,"seq":%%d,"schema":%d}\n' % (self._rank, SCHEMA)

    def line(self, form: Form, epoch: int | None, data: bytes, now_ns: int) -> bytes:
        """One event as one line, newline included; it takes ``next_seq``.

        Args:
            form: what ``form`` made.
            epoch: the event's.
            data: the event's, a JSON object.
            now_ns: the event's time since 1970-01-01 UTC [ns].
        """
        microseconds = (now_ns - self.second_ns) // 1000
        if not 0 <= microseconds < 1_000_000:
            # One second's text serves all its events; formatting it costs more than the rest.
            microseconds = self._enter_second(now_ns)
        seq = self.next_seq
        self.next_seq = seq + 1
        if seq == self.first_seq:
            data = self.stamped(data)
        return form % (seq, self.second_text, microseconds, epoch, data[1:], seq)

    def stamped(self, data: bytes) -> bytes:
        """An event's ``data`` with the stamp in it."""
        return b"{" + self._stamp[1:] if data == b"{}" else data[:-1] + self._stamp

    def _enter_second(self, now_ns: int) -> int:
        second, nanoseconds = divmod(now_ns, _SECOND_NS)
        self.second_text = time.strftime("%Y-%m-%dT%H:%M:%S.", time.gmtime(second)).encode()
        self.second_ns = now_ns - nanoseconds
        return nanoseconds // 1000
