-- title: How episodes ended
-- description: Accuracy, size and reward at the end of each episode. final_accuracy is percent in every run; accuracy is the fraction. An env_id of -1, where the predecessor did not know the environment, is null here.
-- grain: one row per environment and episode
-- key: run_dir, env_id, episode_idx
-- column event_id: unique name of the event
-- column timestamp: when it was written, UTC
-- column run_dir: the run
-- column group_id: name for runs that belong together
-- column env_id: environment, unique over all ranks
-- column episode_idx: the environment's episode, from 0
-- column final_accuracy: validation accuracy at the end [percent]
-- column param_ratio: parameters of the model / those of the host
-- column num_fossilized: seeds that became part of the host
-- column num_contributing_fossilized: those of them that improved it
-- column episode_reward: sum of its rewards
-- column stability_score: 1 less the variance of the last losses
-- column reward_mode: kind of reward, as the predecessor names it; null in Karn's files
-- column episode_length: decisions of the episode
-- column outcome_type: how it ended
-- column germinate_count: GERMINATE actions
-- column prune_count: PRUNE actions
-- column fossilize_count: FOSSILIZE actions
-- column accuracy: validation accuracy at the end [fraction]
-- column loss: validation loss at the end
-- column params: active parameters of the model [scalars]
-- column grow_count: GROW_INTERNAL ops
-- column shrink_count: SHRINK_INTERNAL ops
-- column rank: process that wrote it; null in the predecessor's files
-- column non_finite: floats that were not finite, by name
SELECT
    event_id,
    timestamp,
    run_dir,
    group_id,
    nullif(env_id, -1) AS env_id,
    episode_idx,
    coalesce(final_accuracy, 100 * accuracy) AS final_accuracy,
    param_ratio,
    num_fossilized,
    num_contributing_fossilized,
    episode_reward,
    stability_score,
    reward_mode,
    episode_length,
    outcome_type,
    germinate_count,
    prune_count,
    fossilize_count,
    coalesce(accuracy, final_accuracy / 100) AS accuracy,
    loss,
    params,
    grow_count::BIGINT AS grow_count,
    shrink_count::BIGINT AS shrink_count,
    rank,
    non_finite
FROM live.episode_outcome
