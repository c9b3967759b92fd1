-- title: Every event, whole
-- description: All events of all runs as they were written, those of superseded attempts too. data holds everything an event carries.
-- grain: one row per good line of every event file
-- key: filename, seq (or event_id)
-- column event_id: unique name of the event
-- column event_type: what happened
-- column timestamp: when it was written, UTC
-- column seed_id: the seed in the slot, where there is one
-- column slot_id: the slot
-- column epoch: epoch within the episode; in the predecessor's files some types carry another counter
-- column group_id: name for runs that belong together
-- column message: text for people
-- column data: the payload, lossless
-- column severity: debug, info, warning or error
-- column filename: event file, relative to the telemetry folder
-- column run_dir: the run
-- column rank: process that wrote it; null in the predecessor's files
-- column seq: position in its file, from 0; null in the predecessor's files
-- column schema: version of the file format; null in the predecessor's files
SELECT
    event_id,
    event_type,
    timestamp,
    seed_id,
    slot_id,
    coalesce(epoch, try_cast(regexp_extract(data ->> '$.action_id', '-e([0-9]+)-', 1) AS BIGINT)) AS epoch,
    group_id,
    message,
    data,
    severity,
    filename,
    run_dir,
    rank,
    seq,
    schema
FROM events
