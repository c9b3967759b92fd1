-- title: Steps of each change to the network
-- description: From proposal to commit: what the predecessor recorded of every change that its policy asked for. Rows of one change share action_id. Its envelope has no epoch here; epoch is then the number in action_id.
-- grain: one row per step of a change
-- key: event_id
-- column event_id: unique name of the event
-- column timestamp: when it was written, UTC
-- column run_dir: the run
-- column group_id: name for runs that belong together
-- column epoch: epoch within the episode
-- column severity: debug, info, warning or error
-- column message: text for people
-- column phase: proposal, verdict, mutation, dispatch, commit, rollback, fossilization, cooldown or audit
-- column env_id: environment, unique over all ranks
-- column slot_id: the slot
-- column operation: what was to be done, as decisions.action_name
-- column action_id: the change; its text names batch, epoch, environment, slot and op
-- column proposal_id: its proposal
-- column verdict_id: the governor's verdict on it
-- column mutation_id: what was done
-- column observation_hash: hash of what the policy saw
-- column rng_stream: random numbers that were used
-- column rng_seed: their seed
-- column topology: kind of network
-- column blueprint_id: kind of seed
-- column governor_approved: the governor's verdict; null before it
-- column governor_reason: its reason
-- column governor_blocked_factor: what it refused
-- column watch_window_evidence: what was measured while the change was watched
-- column linked_event_id: id of the step before
-- column rank: process that wrote it; null in the predecessor's files
-- column non_finite: floats that were not finite, by name
SELECT
    event_id,
    timestamp,
    run_dir,
    group_id,
    coalesce(epoch, try_cast(regexp_extract(action_id, '-e([0-9]+)-', 1) AS BIGINT)) AS epoch,
    severity,
    message,
    phase,
    env_id,
    coalesce(slot_id, data_slot_id) AS slot_id,
    operation,
    action_id,
    proposal_id,
    verdict_id,
    mutation_id,
    observation_hash,
    rng_stream,
    rng_seed,
    topology,
    blueprint_id,
    governor_approved,
    governor_reason,
    governor_blocked_factor,
    watch_window_evidence,
    linked_event_id,
    rank,
    non_finite
FROM live.morphology_causal_log
