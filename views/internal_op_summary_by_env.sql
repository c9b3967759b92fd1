-- title: Internal ops per slot and environment
-- description: How often each slot of each environment grew and shrank in a run.
-- grain: one row per run, environment and slot
-- key: run_dir, env_id, slot_id
-- column run_dir: the run
-- column env_id: environment, unique over all ranks
-- column slot_id: the slot
-- column total_ops: level changes
-- column grow_count: level changes upwards
-- column shrink_count: level changes downwards
-- column net_level_change: sum of level_delta [levels]
-- column avg_active_params: mean of active_params after a change [scalars]
-- column max_reached_level: highest level reached
-- column min_reached_level: lowest level reached
SELECT
    run_dir,
    env_id,
    slot_id,
    count(*) AS total_ops,
    count(*) FILTER (level_delta > 0) AS grow_count,
    count(*) FILTER (level_delta < 0) AS shrink_count,
    sum(level_delta)::BIGINT AS net_level_change,
    avg(active_params) AS avg_active_params,
    max(to_level) AS max_reached_level,
    min(to_level) AS min_reached_level
FROM seed_internal_levels
GROUP BY run_dir, env_id, slot_id
