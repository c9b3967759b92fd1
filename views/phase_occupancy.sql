-- title: Where an epoch's time goes
-- description: Time of each phase of an epoch, on the wall and on the CPU, as the predecessor measured it. A report whose phases can't be read has no rows here and one in ingest_errors.
-- grain: one row per epoch and phase
-- key: event_id, phase_name
-- column event_id: unique name of the event
-- column timestamp: when it was written, UTC
-- column run_dir: the run
-- column group_id: name for runs that belong together
-- column epoch: epoch within the episode
-- column batch_idx: the batch, from 0: other views count it from 1
-- column phase_name: the phase: train, val, rollout, action or ppo_update
-- column wall_ms: its duration [ms]
-- column python_cpu_ms: CPU time of the Python thread that drives it [ms]
-- column python_cpu_ratio: python_cpu_ms / wall_ms; near 1 the phase is bound by Python
-- column rank: process that wrote it; null in the predecessor's files
-- column non_finite: floats that were not finite, by name
SELECT
    event_id,
    timestamp,
    run_dir,
    group_id,
    data_epoch AS epoch,
    batch_idx,
    phase.key AS phase_name,
    phase.value.wall_ms,
    phase.value.python_cpu_ms,
    phase.value.python_cpu_ratio,
    rank,
    non_finite
FROM (SELECT *, unnest(map_entries(phases)) AS phase FROM live.phase_profile_completed)
