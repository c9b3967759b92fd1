-- title: Trainings started
-- description: Each time a process began or resumed to train, with its settings. list_runs has one row per run folder instead.
-- grain: one row per TRAINING_STARTED event
-- key: event_id
-- column event_id: unique name of the event
-- column run_dir: the run
-- column group_id: name for runs that belong together
-- column episode_id: the predecessor's name of the training
-- column started_at: when the process began, UTC
-- column task: what is trained
-- column reward_mode: kind of reward
-- column seed: random seed
-- column n_envs: environments of this process
-- column n_episodes: episodes planned
-- column max_epochs: epochs of an episode
-- column max_batches: batches planned
-- column lr: learning rate of the policy
-- column entropy_coef: weight of the entropy bonus
-- column clip_ratio: PPO clip range
-- column param_budget: parameters allowed [scalars]
-- column policy_device: device of the policy
-- column amp_enabled: mixed precision
-- column amp_dtype: its type
-- column host_params: parameters of the bare host [scalars]
-- column proof_baseline_mode: as the predecessor writes it: proof baseline mode
-- column proof_baseline_pair_id: as the predecessor writes it: proof baseline pair id
-- column proof_baseline_lifecycle_policy: as the predecessor writes it: proof baseline lifecycle policy
-- column proof_baseline_schedule_id: as the predecessor writes it: proof baseline schedule id
-- column proof_baseline_schedule_hash: as the predecessor writes it: proof baseline schedule hash
-- column proof_baseline_schedule_version: as the predecessor writes it: proof baseline schedule version
-- column proof_baseline_schedule_action_count: as the predecessor writes it: proof baseline schedule action count
-- column rank: process that wrote it; null in the predecessor's files
-- column policy: name of the policy
-- column world_size: processes of the run
-- column attempt: 1, then one more for each resume
-- column resumed_from_episode: episode of the checkpoint it resumed from
-- column resumed_from_epoch: last epoch that the checkpoint holds
-- column intervention_cost: what an internal op takes off the reward
-- column config: all other settings
-- column whole_seed: random seed, whole also where it has more than 32 bits and seed is null
-- column non_finite: floats that were not finite, by name
SELECT
    event_id,
    run_dir,
    group_id,
    episode_id,
    timestamp AS started_at,
    task,
    reward_mode,
    try_cast(seed AS INTEGER) AS seed,
    n_envs,
    n_episodes,
    max_epochs,
    max_batches,
    lr,
    entropy_coef,
    clip_ratio,
    param_budget,
    policy_device,
    amp_enabled,
    amp_dtype,
    host_params,
    proof_baseline_mode,
    proof_baseline_pair_id,
    proof_baseline_lifecycle_policy,
    proof_baseline_schedule_id,
    proof_baseline_schedule_hash,
    proof_baseline_schedule_version,
    proof_baseline_schedule_action_count,
    rank,
    policy,
    world_size,
    attempt,
    resumed_from_episode,
    resumed_from_epoch,
    intervention_cost,
    config,
    seed AS whole_seed,
    non_finite
FROM ev.training_started
