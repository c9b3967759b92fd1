"""Archives runs: their event files go, and a packed copy and verified segments stay.

The packed copy lies beside where the event file was and holds every byte of it, so that nothing depends on
``segments/``: whoever deletes that folder, or reads it with another version of Karn, reads from the copy.
An event file that is there counts, and its archive does not; so each step may be the last of a process.
"""

from __future__ import annotations

import errno
import os
import shlex
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec

from esper.karn.jsonl.beside import conflict_of
from esper.karn.jsonl.lock import take_write_lock
from esper.karn.jsonl.packed import PackedFile
from esper.karn.jsonl.packing import pack, sync, temporary_of, unpack
from esper.karn.jsonl.source import is_archived, is_packed_by_others, open_events, writer_lives
from esper.karn.settings import archive_of, find_event_files
from esper.karn.store.connection import as_text
from esper.karn.store.database import Store
from esper.karn.store.eventfile import EventFile
from esper.karn.store.verify import verify_segments
from esper.leyline.errors import TelemetryFileError, unknown_name


class Candidate(msgspec.Struct, frozen=True):
    """A run that may be archived."""

    run_dir: str
    event_bytes: int
    """Of its event files that are not archived yet; 0 if there is none."""
    refusal: str | None
    """Why it can't be archived now, as far as that is seen from without."""


class Moved(msgspec.Struct, frozen=True):
    """A run that was archived or restored; of no bytes if there was nothing to do."""

    run_dir: str
    event_bytes: int
    archive_bytes: int


def candidate(store: Store, run_dir: str) -> Candidate:
    """Whether a run can be archived.

    Args:
        store: refreshed.
        run_dir: a run of it.
    """
    files = _plain_files(store, run_dir)
    refusal = _refusal(store, run_dir, files) if files else None
    return Candidate(run_dir, sum(file.tail.size for file in files), refusal)


def finished_runs(store: Store) -> list[str]:
    """Every finished run that is not archived, the latest last."""
    return [
        run.run_dir
        for run in store.runs()[::-1]
        if run.status == "finished" and _plain_files(store, run.run_dir)
    ]


def archive_run(store: Store, run_dir: str) -> Moved:
    """Seal a run, verify its segments, pack its event files, and only then remove them.

    Nothing to do for files that are archived already, and for those that would take as much room packed.

    Args:
        store: refreshed.
        run_dir: a run of it.

    Raises:
        TelemetryFileError: saying why not; its event files are as they were.
    """
    files = _plain_files(store, run_dir)
    refusal = _refusal(store, run_dir, files)
    if refusal is not None:
        raise TelemetryFileError(refusal)
    finished = store.run(run_dir).status == "finished"
    try:
        with ExitStack() as locks:
            fds = [locks.enter_context(_locked(file.path, is_finished=finished)) for file in files]
            states = [_state(os.fstat(fd)) for fd in fds]
            _remove_leftovers(files)
            store.refresh()
            store.seal_all(run_dir)
            for file, fd in zip(files, fds, strict=True):
                _check_cover(file)
                verify_segments(file, fd, Path(os.path.abspath(store.telemetry_dir)))
            return _replace(run_dir, files, fds, states)
    except OSError as error:
        raise TelemetryFileError(f"its archive can't be written: {_reason(error)}") from error


def _replace(run_dir: str, files: Sequence[EventFile], fds: Sequence[int], states: Sequence[_State]) -> Moved:
    """Pack event files that are open, locked and verified, and remove them."""
    with ExitStack() as undo:
        archive_bytes = 0
        for file, fd in zip(files, fds, strict=True):
            is_new = not os.path.lexists(archive_of(file.path))
            archive_bytes += pack(file.path, fd, _edges(file))
            if is_new:
                undo.callback(_take_back, file.path)
        for file, state in zip(files, states, strict=True):
            _check_state(file.path, state)
        event_bytes = sum(os.fstat(fd).st_size for fd in fds)
        if archive_bytes >= event_bytes:
            return Moved(run_dir, 0, 0)
        undo.pop_all()
    for file, state in zip(files, states, strict=True):
        _check_state(file.path, state)
        file.path.unlink()
        sync(file.path.parent)
    return Moved(run_dir, event_bytes, archive_bytes)


def _take_back(path: Path) -> None:
    # Without locks another archiver may have been quicker: what it left is all there is.
    if path.exists():
        archive_of(path).unlink(missing_ok=True)


def restore_run(telemetry_dir: Path, run_dir: str) -> Moved:
    """Bring a run's event files back, byte for byte; nothing to do for those that are there.

    Raises:
        NotFoundError: if there is no such run.
        TelemetryFileError: saying why not; its archives are as they were.
    """
    runs = {as_text(name): paths for name, paths in find_event_files(telemetry_dir).items()}
    if run_dir not in runs:
        raise unknown_name("run", run_dir, runs)
    event_bytes = archive_bytes = 0
    for path in runs[run_dir]:
        reason = _doubt_about_archive(path)
        if reason is not None:
            raise TelemetryFileError(reason)
    for path in filter(is_archived, runs[run_dir]):
        archive = archive_of(path)
        try:
            with _locked(archive, is_finished=True), open_events(path) as packed:
                if isinstance(packed, PackedFile):
                    state = _state(os.fstat(packed.fd))
                    temporary_of(archive).unlink(missing_ok=True)
                    unpack(path, packed)
                    event_bytes += packed.size
                    archive_bytes += state.size
                    _check_state(archive, state)
                    archive.unlink()
                    sync(archive.parent)
        except OSError as error:
            raise TelemetryFileError(f"{archive} can't be restored: {_reason(error)}") from error
    return Moved(run_dir, event_bytes, archive_bytes)


def _plain_files(store: Store, run_dir: str) -> list[EventFile]:
    return [file for file in store.event_files() if file.run_dir == run_dir and not is_archived(file.path)]


def _refusal(store: Store, run_dir: str, files: Sequence[EventFile]) -> str | None:
    if store.run(run_dir).status == "running":
        return "it is running"
    for file in files:
        if writer_lives(file.path, file.state.inode):
            return f"{file.path.name} is open for writing"
        if file.path.is_symlink():
            return f"{file.path.name} is a link: archive the run that it leads to"
        if file.path.parent.is_symlink():
            return "its folder is a link: archive the run in the telemetry folder that it leads to"
        if as_text(str(file.path)) != str(file.path):
            return "its path is no UTF-8, so it can't be sealed: rename its folder"
        if (reason := _doubt_about_archive(file.path)) is not None:
            return reason
    return None


def _doubt_about_archive(path: Path) -> str | None:
    """What is wrong with that which has the name of an event file's archive."""
    if is_packed_by_others(path):
        archive = archive_of(path)
        return f"{archive.name} was not written by karn archive: run gunzip {shlex.quote(str(archive))}"
    return conflict_of(path)


@contextmanager
def _locked(path: Path, *, is_finished: bool) -> Iterator[int]:
    """The file, open, while nobody else may write it.

    Raises:
        TelemetryFileError: if somebody does, or that can't be known of a file that may not be finished.
        OSError: if it can't be opened.
    """
    fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        locked = take_write_lock(fd)
        if locked is False:
            raise TelemetryFileError(f"{path.name} is open for writing")
        if locked is None and not is_finished:
            raise TelemetryFileError(
                "it has not finished, and its file system has no locks to tell whether somebody writes it"
            )
        yield fd
    finally:
        os.close(fd)


class _State(NamedTuple):
    """Of a file, by which it is known that nobody has replaced or written it."""

    device: int
    inode: int
    size: int
    mtime_ns: int


def _state(now: os.stat_result) -> _State:
    return _State(now.st_dev, now.st_ino, now.st_size, now.st_mtime_ns)


def _check_state(path: Path, state: _State) -> None:
    if _state(os.stat(path)) != state:
        raise TelemetryFileError(f"{path.name} was replaced or written meanwhile; it was kept")


def _remove_leftovers(files: Sequence[EventFile]) -> None:
    """Delete what killed archivers and restorers left of files that are locked."""
    for file in files:
        for path in (file.path, archive_of(file.path)):
            temporary_of(path).unlink(missing_ok=True)


def _reason(error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "the disk is full"
    return error.strerror or str(error)


def _check_cover(file: EventFile) -> None:
    if file.sealed_bytes != file.tail.offset:
        raise TelemetryFileError(f"its segments stand for {file.sealed_bytes} of {file.tail.offset} bytes")
    home = file.path.parent
    if not all(segment.folder.is_relative_to(home) for segment in file.segments):
        raise TelemetryFileError(
            "its segments can't be written beside it, only into the cache: is the disk full, or its folder "
            "read-only?"
        )


def _edges(file: EventFile) -> dict[str, str]:
    return {f"{segment.meta.start}-{segment.meta.end}": segment.meta.edges for segment in file.segments}
