-- title: Internal ops per slot
-- description: How often each slot grew and shrank in a run, over all environments. internal_op_summary_by_env keeps environments apart.
-- grain: one row per run and slot name
-- key: run_dir, slot_id
-- column run_dir: the run
-- column slot_id: the slot name, pooled over all environments that have it
-- column total_ops: level changes
-- column grow_count: level changes upwards
-- column shrink_count: level changes downwards
-- column net_level_change: sum of level_delta [levels]
-- column avg_active_params: mean of active_params after a change [scalars]
-- column max_reached_level: highest level reached
-- column min_reached_level: lowest level reached
-- column env_count: environments behind it
SELECT
    run_dir,
    slot_id,
    count(*) AS total_ops,
    count(*) FILTER (level_delta > 0) AS grow_count,
    count(*) FILTER (level_delta < 0) AS shrink_count,
    sum(level_delta)::BIGINT AS net_level_change,
    avg(active_params) AS avg_active_params,
    max(to_level) AS max_reached_level,
    min(to_level) AS min_reached_level,
    count(DISTINCT env_id) AS env_count
FROM seed_internal_levels
GROUP BY run_dir, slot_id
