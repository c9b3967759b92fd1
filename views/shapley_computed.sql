-- title: Shapley values of seeds
-- description: What each slot's seed adds to the accuracy, by the predecessor's estimate. An env_id of -1, where it did not know the environment, is null here.
-- grain: one row per estimate
-- key: event_id
-- column event_id: unique name of the event
-- column timestamp: when it was written, UTC
-- column run_dir: the run
-- column group_id: name for runs that belong together
-- column env_id: environment, unique over all ranks
-- column batch: epoch of the accuracies behind it
-- column num_slots: slots in it
-- column shapley_values: mean, std and n_samples of each slot
-- column rank: process that wrote it; null in the predecessor's files
-- column non_finite: floats that were not finite, by name
SELECT
    event_id,
    timestamp,
    run_dir,
    group_id,
    nullif(env_id, -1) AS env_id,
    batch,
    num_slots,
    shapley_values,
    rank,
    non_finite
FROM live.analytics_snapshot
WHERE kind = 'shapley_computed'
