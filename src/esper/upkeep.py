"""The commands that look after a telemetry folder."""

from __future__ import annotations

from esper.options import AsJson, TelemetryDir
from esper.terminal import existing_folder, open_store, progress, show


def compact(telemetry_dir: TelemetryDir = None) -> None:
    """Seal event files into segments, so that every later start is instant. The event files stay."""
    from esper.karn.store.compact import compact as seal

    where = existing_folder(telemetry_dir)
    with progress("sealing telemetry") as advance:
        done = seal(where, advance)
    show(
        f"{done.runs} run{'' if done.runs == 1 else 's'}: {done.event_bytes:,} bytes of events sealed in "
        f"{done.segments} segment{'' if done.segments == 1 else 's'} of {done.segment_bytes:,} bytes"
    )


def doctor(telemetry_dir: TelemetryDir = None, as_json: AsJson = False) -> None:
    """Say what is wrong with a folder's files: gaps, bad lines, lost events, silent ranks, segments."""
    import msgspec

    from esper.karn.store.checkup import check_folder, checkup_text

    with open_store(telemetry_dir) as store:
        checked = check_folder(store)
        error = store.sealing_error
    if as_json:
        show(msgspec.json.format(msgspec.json.encode(checked), indent=2).decode())
    else:
        show(checkup_text(checked, error))
