"""The ``karn`` command: the only place that knows all parts, and imports each only when it is used."""

from __future__ import annotations

import os
import sys
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from esper import hosts_command, upkeep
from esper.compare_command import compare
from esper.effect_command import effect
from esper.leyline.errors import TelemetryUsageError
from esper.options import AsJson, Run, TelemetryDir
from esper.plot_command import plot
from esper.terminal import next_command, open_store, progress, run_app, show
from esper.train_command import train

app = typer.Typer(
    name="karn",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Telemetry for training whose network grows and shrinks: record it, ask it, watch it.",
    epilog="Start with `karn report`: does the policy thrash, since when, where, and do GROW ops help?",
)


class Format(StrEnum):
    """How `karn sql` prints rows."""

    table = "table"
    csv = "csv"
    json = "json"


class FailOn(StrEnum):
    """What `karn report --fail-on` fails on."""

    thrash = "thrash"


app.command()(upkeep.compact)
app.command()(upkeep.doctor)
app.command()(upkeep.archive)
app.command()(compare)
app.command()(effect)
app.command()(plot)
app.command()(train)
app.command()(hosts_command.install)
app.command()(hosts_command.uninstall)


@app.command()
def report(
    run: Run = None,
    telemetry_dir: TelemetryDir = None,
    env: Annotated[int | None, typer.Option(help="Only this environment.")] = None,
    slot: Annotated[str | None, typer.Option(help="Only slots of this name.")] = None,
    full: Annotated[bool, typer.Option("--full", help="Every slot, environment and rank.")] = False,
    as_json: AsJson = False,
    fail_on: Annotated[
        FailOn | None, typer.Option(help="Exit with 3 if the verdict is this; for sweeps and CI.")
    ] = None,
) -> None:
    """Say whether a run's policy is thrashing, since when, where, why, and whether GROW ops help."""
    import msgspec

    from esper.karn.diagnosis import verdict_text
    from esper.karn.store.evidence import thrash_verdict

    with open_store(telemetry_dir) as store:
        verdict = thrash_verdict(store, run, env, slot)
    if as_json:
        show(msgspec.json.format(msgspec.json.encode(verdict), indent=2).decode())
    else:
        show(verdict_text(verdict, "full" if full else "concise"))
    if fail_on is FailOn.thrash and verdict.label == "thrashing":
        raise typer.Exit(3)


@app.command()
def runs(telemetry_dir: TelemetryDir = None, as_json: AsJson = False) -> None:
    """List the runs of a folder, the latest first: status, size, age, and what is wrong with them."""
    import msgspec

    from esper.karn.textout import table

    with open_store(telemetry_dir) as store:
        found = store.runs()
    if not found:
        print("karn: no run yet: no <run>/events.jsonl in the telemetry folder", file=sys.stderr)
    if as_json:
        show(msgspec.json.format(msgspec.json.encode(found), indent=2).decode())
        return
    columns = ["run", "status", "policy", "ranks", "events", "bad lines", "last event", "age s"]
    show(
        table(
            columns,
            [
                [
                    run.run_dir,
                    run.status,
                    run.policy,
                    run.ranks,
                    run.events,
                    run.bad_lines,
                    run.last_event and f"{run.last_event:%Y-%m-%d %H:%M:%S}",
                    run.age_s and round(run.age_s),
                ]
                for run in found
            ],
        )
    )


@app.command()
def sql(
    text: Annotated[str, typer.Argument(metavar="SELECT", help="One SELECT, DESCRIBE or SHOW.")],
    telemetry_dir: TelemetryDir = None,
    output: Annotated[Format, typer.Option("--format", "-f", help="How rows are printed.")] = Format.table,
    limit: Annotated[int, typer.Option(min=1, help="At most this many rows.")] = 1000,
    timeout: Annotated[float, typer.Option(min=0.1, help="Deadline in seconds.")] = 60.0,
) -> None:
    """Query the views, for example: karn sql "SELECT * FROM slot_thrash ORDER BY free_reversal_rate DESC"."""
    import json

    from esper.karn.textout import csv_text, table

    with open_store(telemetry_dir) as store:
        rows = store.query(text, limit=limit, timeout_s=timeout)
    if output is Format.json:
        show(json.dumps(rows.dicts(), indent=2, ensure_ascii=False))
    elif output is Format.csv:
        show(csv_text(rows.columns, rows.rows), end="")
    else:
        show(table(rows.columns, rows.rows))
    if rows.truncated:
        print(f"karn: only the first {limit} rows; raise --limit for more", file=sys.stderr)


@app.command()
def mcp(
    where: Annotated[
        str | None,
        typer.Argument(metavar="HOST:PORT", help="With --http: where to listen. Default: 127.0.0.1:8321."),
    ] = None,
    telemetry_dir: TelemetryDir = None,
    query_timeout: Annotated[float, typer.Option(min=0.1, help="Deadline of a query in seconds.")] = 10.0,
    queries: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder of SQL files that each become a tool.")
    ] = None,
    views: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder of SQL files that each become a view.")
    ] = None,
    http: Annotated[bool, typer.Option("--http", help="Serve over HTTP, at http://HOST:PORT/mcp.")] = False,
    token_file: Annotated[
        Path | None, typer.Option(help="With --http: file of the token. Default: $KARN_MCP_TOKEN.")
    ] = None,
    allow_host: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="With --http: one more name of this server.")
    ] = None,
) -> None:
    """Serve the telemetry to AI assistants over MCP, on standard input and output or over HTTP."""
    from esper.karn.mcp.server import build_server, own_files, run_stdio
    from esper.karn.settings import telemetry_dir as folder

    if not http and (where is not None or token_file is not None or allow_host):
        raise TelemetryUsageError("HOST:PORT, --token-file and --allow-host need --http")
    build = partial(build_server, query_timeout_s=query_timeout, own=own_files(views, queries))
    if http:
        from esper.karn.mcp.http.command import run_http

        run_http(folder(telemetry_dir), build, where, token_file, allow_host or [])
        return
    run_stdio(folder(telemetry_dir), build)


@app.command()
def sanctum(
    run: Run = None,
    telemetry_dir: TelemetryDir = None,
    once: Annotated[bool, typer.Option("--once", help="Print the state as text and end.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="With --once: print it as JSON.")] = False,
) -> None:
    """Watch a run in the terminal: which slots grow, shrink and thrash. It follows a live training."""
    from esper.karn.settings import telemetry_dir as folder

    where = folder(telemetry_dir)
    if as_json and not once:
        raise TelemetryUsageError("--json needs --once: a screen can't be JSON")
    if not once:
        from esper.karn.sanctum.opening import run_sanctum

        raise typer.Exit(run_sanctum(where, run))
    from esper.karn.sanctum.once import once_json, once_text

    if as_json:
        import json

        show(json.dumps(once_json(where, run), indent=2))
    else:
        from esper.karn.sanctum.glyphs import glyphs_for
        from esper.karn.sanctum.once import width_here

        glyphs = glyphs_for(os.environ, sys.stdout.encoding)
        show(once_text(where, run, width=width_here(), glyphs=glyphs), end="")


@app.command(name="import")
def import_(
    file: Annotated[Path, typer.Argument(help="CSV with env, slot, episode, epoch, level, max_level.")],
    telemetry_dir: TelemetryDir = None,
    run_dir: Annotated[
        str | None, typer.Option(metavar="NAME", help="The new run's name. Default: the file's.")
    ] = None,
) -> None:
    """Make a run of a table of levels, a row for each epoch: a verdict without touching training code."""
    from esper.importer import import_levels
    from esper.karn.settings import check_run_dir
    from esper.karn.settings import telemetry_dir as folder

    done = import_levels(file, folder(telemetry_dir), check_run_dir(run_dir or file.stem))
    show(f"{done.summary()}\n{next_command(done.run_dir, folder(telemetry_dir))}")


@app.command()
def validate(
    files: Annotated[list[Path], typer.Argument(help="Event files, for example telemetry/RUN/events.jsonl.")],
) -> None:
    """Check event files, archived ones too, line by line; exit with 1 if a line or a field can't be read."""
    from esper.karn.textout import clean
    from esper.karn.validate import validate_file

    bad = False
    for file in files:
        with progress(f"reading {file.name}") as advance:
            check = validate_file(file, advance)
        for problem in check.problems:
            show(f"{file}:{problem.line_number}: {problem.kind}: {clean(problem.reason)}")
        unfinished = (
            f", {check.unfinished_bytes} bytes of an unfinished last line" if check.unfinished_bytes else ""
        )
        show(f"{file}: {check.events} events, {len(check.problems)} problems{unfinished}")
        if check.damage is not None:
            show(f"{file}: events can't be read: {clean(check.damage)}")
        bad = (
            bad
            or check.damage is not None
            or any(problem.kind in ("line", "field") for problem in check.problems)
        )
    if bad:
        raise typer.Exit(1)


@app.command()
def schema() -> None:
    """Print the JSON Schema of an event line."""
    import msgspec

    from esper.leyline.codec import json_schema

    show(msgspec.json.format(msgspec.json.encode(json_schema()), indent=2).decode())


def main() -> NoReturn:
    """Run the command; exit with 0, 1 after one clear line on standard error, or 2 on wrong usage."""
    run_app(app)
