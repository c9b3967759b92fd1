-- title: What spoils a comparison of runs
-- description: Alarms and rollbacks after which the predecessor takes a run for no clean proof. Where a part of detail is not known it is left out: the predecessor writes a question mark.
-- grain: one row per such event
-- key: event_id
-- column event_id: unique name of the event
-- column timestamp: when it was written, UTC
-- column run_dir: the run
-- column group_id: name for runs that belong together
-- column env_id: environment, unique over all ranks
-- column event_type: what was seen
-- column anomaly_type: its finer name, where it has one
-- column episode: episodes finished by then, or the environment's episode, from 0
-- column batch: the batch, from 1
-- column inner_epoch: epochs of its episodes
-- column total_episodes: episodes planned
-- column detail: what is known of it, for people
-- column proof_blocking: whether it spoils a proof; true for each of these
-- column rank: process that wrote it; null in the predecessor's files
-- column non_finite: floats that were not finite, by name
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
    SELECT * FROM live.reward_hacking_suspected
    UNION ALL BY NAME
    SELECT * FROM live.performance_degradation
)

SELECT
    event_id,
    timestamp,
    run_dir,
    group_id,
    env_id,
    event_type,
    anomaly_type,
    coalesce(episode, episode_idx) AS episode,
    batch,
    inner_epoch,
    total_episodes,
    CASE event_type
        WHEN 'GOVERNOR_ROLLBACK' THEN concat_ws(': ', 'governor rollback', reason)
        WHEN 'REWARD_HACKING_SUSPECTED'
            THEN
                concat_ws(
                    ' ',
                    'reward hacking suspected',
                    '(' || pattern || ')',
                    'slot=' || coalesce(data_slot_id, slot_id),
                    'seed=' || coalesce(data_seed_id, seed_id)
                )
        WHEN 'PERFORMANCE_DEGRADATION'
            THEN
                concat_ws(
                    ' ',
                    coalesce('performance degradation: drop ' || drop_percent || '%', 'performance degradation'),
                    '(threshold ' || threshold_percent || '%)'
                )
        ELSE detail
    END AS detail,
    true AS proof_blocking,
    rank,
    non_finite
FROM found
