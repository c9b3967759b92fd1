-- title: Final networks and their replays
-- description: Descriptions of networks that the predecessor's proof runs compare: the one that a run ended with, and the one that a replay was built from.
-- grain: one row per manifest
-- key: event_id
-- column event_id: unique name of the event
-- column timestamp: when it was written, UTC
-- column run_dir: the run
-- column group_id: name for runs that belong together
-- column epoch: epoch of the envelope
-- column severity: debug, info, warning or error
-- column message: text for people
-- column manifest_role: source_final or static_final_replay
-- column proof_baseline_pair_id: the pair of runs that are compared
-- column topology_manifest_version: version of the manifest's form
-- column topology_manifest_hash: hash of the manifest
-- column topology_manifest_json: the manifest, as a text of JSON
-- column task: what is trained
-- column host_topology: kind of host
-- column slot_config_hash: hash of the slots' settings
-- column slot_count: slots of the host
-- column fossilized_seed_count: seeds that became part of the host
-- column topology_delta_count: changes against the bare host
-- column source_run_dir: run that the network comes from
-- column source_group_id: its group
-- column source_episode_idx: its episode
-- column source_event_id: event of the source's own manifest
-- column source_topology_manifest_hash: hash of that manifest
-- column replay_weight_policy: what weights the replay began with
-- column replay_env_id: environment of the replay
-- column replay_episode_idx: episode of the replay
-- column replayed_topology_manifest_hash: hash of what the replay built
-- column manifest_match: whether both hashes are equal
-- column rank: process that wrote it; null in the predecessor's files
SELECT
    event_id,
    timestamp,
    run_dir,
    group_id,
    epoch,
    severity,
    message,
    manifest_role,
    proof_baseline_pair_id,
    topology_manifest_version,
    topology_manifest_hash,
    topology_manifest_json,
    task,
    host_topology,
    slot_config_hash,
    slot_count,
    fossilized_seed_count,
    topology_delta_count,
    source_run_dir,
    source_group_id,
    source_episode_idx,
    source_event_id,
    source_topology_manifest_hash,
    replay_weight_policy,
    replay_env_id,
    replay_episode_idx,
    replayed_topology_manifest_hash,
    manifest_match,
    rank
FROM live.topology_manifest_recorded
