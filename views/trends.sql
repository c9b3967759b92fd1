-- title: Trends of the accuracy
-- description: Where the predecessor saw its rolling accuracy stand still, rise or fall from one batch to the next. Accuracies are percent.
-- grain: one row per such event
-- key: event_id
-- column event_id: unique name of the event
-- column timestamp: when it was written, UTC
-- column run_dir: the run
-- column group_id: name for runs that belong together
-- column event_type: PLATEAU_DETECTED, DEGRADATION_DETECTED or IMPROVEMENT_DETECTED
-- column batch_idx: the batch after which it was seen, from 1
-- column episodes_completed: episodes finished by then
-- column rolling_delta: rolling_avg_accuracy less the one before [percent points]
-- column rolling_avg_accuracy: mean over the last batches [percent]
-- column prev_rolling_avg_accuracy: the same a batch earlier [percent]
-- column rank: process that wrote it; null in the predecessor's files
-- column non_finite: floats that were not finite, by name
WITH found AS (
    SELECT * FROM live.plateau_detected
    UNION ALL BY NAME
    SELECT * FROM live.degradation_detected
    UNION ALL BY NAME
    SELECT * FROM live.improvement_detected
)

SELECT
    event_id,
    timestamp,
    run_dir,
    group_id,
    event_type,
    batch_idx,
    episodes_completed,
    rolling_delta,
    rolling_avg_accuracy,
    prev_rolling_avg_accuracy,
    rank,
    non_finite
FROM found
