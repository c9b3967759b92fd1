-- title: Lines that were not read whole
-- description: What is wrong with the event files. A bad line hides no good one and makes no row elsewhere.
-- grain: one row per problem
-- key: filename, file_offset, reason
-- column run_dir: the run
-- column filename: event file, relative to the telemetry folder
-- column line_number: line in the file, from 1
-- column file_offset: byte offset of the line
-- column kind: line: it is no event and was left out; field: one field reads as null; repaired: read after a repair; schema: the first event of a newer format, which only raw_events shows
-- column reason: what is wrong
-- column snippet: start of the line, control characters replaced
SELECT
    run_dir,
    filename,
    line_number,
    file_offset,
    kind,
    reason,
    snippet
FROM ev.problems
