-- title: Lives of seeds
-- description: Germinations, stage changes, prunings and fossilizations.
-- grain: one row per such event
-- key: event_id
-- column event_id: unique name of the event
-- column timestamp: when it was written, UTC
-- column run_dir: the run
-- column group_id: name for runs that belong together
-- column event_type: what happened
-- column seed_id: the seed in the slot
-- column slot_id: the slot
-- column env_id: environment, unique over all ranks
-- column episode_idx: the environment's episode, from 0
-- column blueprint_id: kind of seed
-- column params: parameters of a new seed [scalars]
-- column params_added: parameters that a fossilized seed left in the host [scalars]
-- column alpha: as the predecessor writes it: alpha
-- column grad_ratio: as the predecessor writes it: grad ratio
-- column has_vanishing: as the predecessor writes it: has vanishing
-- column has_exploding: as the predecessor writes it: has exploding
-- column epochs_in_stage: epochs in the stage it left
-- column blend_tempo_epochs: as the predecessor writes it: blend tempo epochs
-- column alpha_curve: as the predecessor writes it: alpha curve
-- column from_stage: stage before
-- column to_stage: stage after
-- column accuracy_delta: accuracy over the stage; percent points in the predecessor's files, a fraction in Karn's
-- column improvement: accuracy over the seed's life; percent points in the predecessor's files, a fraction in Karn's
-- column counterfactual: as the predecessor writes it: counterfactual
-- column blending_delta: as the predecessor writes it: blending delta
-- column epochs_total: epochs that the seed lived
-- column reason: why it was pruned
-- column initiator: as the predecessor writes it: initiator
-- column auto_pruned: as the predecessor writes it: auto pruned
-- column morphology_proposal_id: as the predecessor writes it: morphology proposal id
-- column morphology_verdict_id: as the predecessor writes it: morphology verdict id
-- column morphology_mutation_id: as the predecessor writes it: morphology mutation id
-- column rng_stream: as the predecessor writes it: rng stream
-- column rng_seed: as the predecessor writes it: rng seed
-- column epoch: epoch within the episode
-- column rank: process that wrote it; null in the predecessor's files
-- column internal_kind: 0 none, 1 convolution ladder
-- column level: internal level of a new seed
-- column max_level: its highest level
-- column non_finite: floats that were not finite, by name
SELECT
    event_id,
    timestamp,
    run_dir,
    group_id,
    event_type,
    seed_id,
    slot_id,
    env_id,
    episode_idx,
    blueprint_id,
    params,
    params_added,
    alpha,
    grad_ratio,
    has_vanishing,
    has_exploding,
    epochs_in_stage,
    blend_tempo_epochs,
    alpha_curve,
    from_stage,
    to_stage,
    accuracy_delta,
    improvement,
    counterfactual,
    blending_delta,
    epochs_total,
    reason,
    initiator,
    auto_pruned,
    morphology_proposal_id,
    morphology_verdict_id,
    morphology_mutation_id,
    rng_stream,
    rng_seed,
    epoch,
    rank,
    internal_kind,
    level,
    max_level,
    non_finite
FROM live.seed_lifecycle
