-- title: Pairs of consecutive internal ops
-- description: Each op of a seed with the one before it in the same episode: what reversal rates are counted from.
-- grain: one row per pair of consecutive ops of one seed in one episode
-- key: event_id
-- column run_dir: the run
-- column rank: process that wrote it
-- column env_id: environment, unique over all ranks
-- column slot_id: the slot
-- column seed_id: the seed in the slot
-- column episode_idx: the environment's episode, from 0
-- column first_epoch: epoch of the first op
-- column epoch: epoch of the second op
-- column timestamp: when the second op was written, UTC
-- column first_timestamp: when the first op was written, UTC
-- column middle_level: level between the two
-- column max_level: highest level of the seed
-- column second_op: the second op by name
-- column reversal: whether the second op went the other way
-- column free: whether it could have gone either way: middle_level strictly between 0 and max_level
-- column undone: whether it reversed the first within 5 epochs
-- column event_id: event of the second op
-- column seq: position of the second op in its file
-- column file_offset: byte offset of the second op
SELECT
    run_dir,
    rank,
    env_id,
    slot_id,
    seed_id,
    episode_idx,
    lag(epoch) OVER ops AS first_epoch,
    epoch,
    timestamp,
    lag(timestamp) OVER ops AS first_timestamp,
    lag(to_level) OVER ops AS middle_level,
    lag(max_level) OVER ops AS max_level,
    CASE WHEN level_delta > 0 THEN 'GROW_INTERNAL' ELSE 'SHRINK_INTERNAL' END AS second_op,
    (level_delta > 0) != (lag(level_delta) OVER ops > 0) AS reversal,
    middle_level > 0 AND middle_level < lag(max_level) OVER ops AS free,
    coalesce(reversal AND epoch - lag(epoch) OVER ops <= undo_epochs(), false) AS undone,
    event_id,
    seq,
    file_offset
FROM seed_internal_levels
WHERE level_delta != 0
WINDOW ops AS (
    PARTITION BY run_dir, env_id, slot_id, seed_id, episode_idx
    ORDER BY rank NULLS FIRST, seq NULLS FIRST, file_offset
)
QUALIFY lag(level_delta) OVER ops IS NOT NULL
