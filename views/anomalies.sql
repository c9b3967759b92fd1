-- title: Alarms
-- description: Events by which the predecessor says that training stands still or goes wrong.
-- grain: one row per alarm
-- key: event_id
-- column event_id: unique name of the event
-- column timestamp: when it was written, UTC
-- column run_dir: the run
-- column group_id: name for runs that belong together
-- column epoch: episodes finished by then, or the epoch within the episode of a rollback
-- column event_type: what was seen
-- column message: text for people
-- column data: all that the event says, lossless
-- column rank: process that wrote it; null in the predecessor's files
WITH found AS (
    SELECT * FROM live.value_collapse_detected
    UNION ALL BY NAME
    SELECT * FROM live.ratio_explosion_detected
    UNION ALL BY NAME
    SELECT * FROM live.ratio_collapse_detected
    UNION ALL BY NAME
    SELECT * FROM live.gradient_anomaly
    UNION ALL BY NAME
    SELECT * FROM live.gradient_pathology_detected
    UNION ALL BY NAME
    SELECT * FROM live.numerical_instability_detected
    UNION ALL BY NAME
    SELECT * FROM live.governor_rollback
    UNION ALL BY NAME
    SELECT * FROM live.plateau_detected
)

SELECT
    event_id,
    timestamp,
    run_dir,
    group_id,
    epoch,
    event_type,
    message,
    data,
    rank
FROM found
