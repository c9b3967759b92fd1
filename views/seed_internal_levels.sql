-- title: Level changes
-- description: Each time a seed grew or shrank inside. Order by rank, seq (file_offset where seq is null), never by timestamp.
-- grain: one row per level change
-- key: event_id
-- column run_dir: the run
-- column timestamp: when it was written, UTC
-- column env_id: environment, unique over all ranks
-- column slot_id: the slot; the same names repeat in every environment
-- column blueprint_id: kind of seed
-- column internal_kind: 0 none, 1 convolution ladder
-- column from_level: level before
-- column to_level: level after
-- column max_level: highest level of this seed
-- column active_params: the seed's training parameters after the change [scalars]
-- column level_delta: to_level - from_level
-- column event_id: unique name of the event
-- column rank: process that wrote it
-- column epoch: epoch within the episode that was just completed
-- column episode_idx: the environment's episode, from 0
-- column seed_id: the seed in the slot
-- column seq: position in its file
-- column file_offset: byte offset in its file
SELECT
    run_dir,
    timestamp,
    env_id,
    data_slot_id AS slot_id,
    blueprint_id,
    internal_kind,
    from_level,
    to_level,
    max_level,
    active_params,
    to_level - from_level AS level_delta,
    event_id,
    rank,
    epoch,
    episode_idx,
    seed_id,
    seq,
    file_offset
FROM live.seed_internal_level_changed
