-- title: Batches of episodes
-- description: How each batch of episodes of the predecessor ended. Accuracies are percent.
-- grain: one row per batch
-- key: event_id
-- column event_id: unique name of the event
-- column timestamp: when it was written, UTC
-- column run_dir: the run
-- column group_id: name for runs that belong together
-- column episodes_completed: episodes finished by then
-- column batch_idx: the batch, from 1
-- column avg_accuracy: mean final accuracy of its environments [percent]
-- column avg_reward: mean episode reward of its environments
-- column total_episodes: episodes planned
-- column n_envs: environments of the batch
-- column start_episode: episode it resumed from; 0 also where the predecessor did not say
-- column requested_episodes: episodes asked for; 0 also where the predecessor did not say
-- column rolling_accuracy: mean over the last batches; null where it was not measured [percent]
-- column env_accuracies: final accuracy of each environment [percent]
-- column rank: process that wrote it; null in the predecessor's files
-- column non_finite: floats that were not finite, by name
SELECT
    event_id,
    timestamp,
    run_dir,
    group_id,
    episodes_completed,
    batch_idx,
    avg_accuracy,
    avg_reward,
    total_episodes,
    n_envs,
    start_episode,
    requested_episodes,
    rolling_accuracy,
    env_accuracies,
    rank,
    non_finite
FROM live.batch_epoch_completed
