-- title: Whether rewards follow accuracy
-- description: How an episode's reward goes with the accuracy it ended at. Accuracies are percent. Two episodes always correlate by 1 or -1: the predecessor calls that well_calibrated or inverted, here it is insufficient_data. Episodes without a finite accuracy and reward count in no figure but are in non_finite.
-- grain: one row per run, group and kind of reward
-- key: run_dir, group_id, reward_mode
-- column run_dir: the run
-- column group_id: name for runs that belong together
-- column reward_mode: kind of reward, as the predecessor names it; null in Karn's files
-- column n_episodes: episodes with both an accuracy and a reward
-- column mean_accuracy: mean final accuracy [percent]
-- column mean_reward: mean episode reward
-- column std_accuracy: standard deviation of the accuracies, of a sample [percent points]
-- column std_reward: standard deviation of the rewards, of a sample
-- column min_accuracy: lowest [percent]
-- column max_accuracy: highest [percent]
-- column min_reward: lowest
-- column max_reward: highest
-- column reward_accuracy_correlation: Pearson's correlation; null where either does not vary
-- column calibration_status: well_calibrated from 0.7, moderate from 0.3, weak from 0, inverted below; else insufficient_data
-- column non_finite: floats that were not finite, one object for each such episode
WITH episodes AS (
    SELECT
        run_dir,
        group_id,
        reward_mode,
        CASE WHEN isfinite(final_accuracy) AND isfinite(episode_reward) THEN final_accuracy END AS accuracy,
        CASE WHEN isfinite(final_accuracy) AND isfinite(episode_reward) THEN episode_reward END AS reward,
        non_finite
    FROM episode_outcomes
),

sums AS (
    SELECT
        run_dir,
        group_id,
        reward_mode,
        count(reward) AS n_episodes,
        avg(accuracy) AS mean_accuracy,
        avg(reward) AS mean_reward,
        stddev_samp(accuracy) AS std_accuracy,
        stddev_samp(reward) AS std_reward,
        min(accuracy) AS min_accuracy,
        max(accuracy) AS max_accuracy,
        min(reward) AS min_reward,
        max(reward) AS max_reward,
        corr(accuracy, reward) AS correlation,
        list(non_finite) FILTER (non_finite IS NOT NULL) AS non_finite
    FROM episodes
    GROUP BY run_dir, group_id, reward_mode
),

-- Rewards beyond 1e154 have no square, and so no spread that a float could hold.
figures AS (
    SELECT
        * REPLACE (
            CASE WHEN isfinite(mean_accuracy) THEN mean_accuracy END AS mean_accuracy,
            CASE WHEN isfinite(mean_reward) THEN mean_reward END AS mean_reward,
            CASE WHEN isfinite(std_accuracy) THEN std_accuracy END AS std_accuracy,
            CASE WHEN isfinite(std_reward) THEN std_reward END AS std_reward,
            CASE
                WHEN std_accuracy > 0 AND std_reward > 0 AND isfinite(correlation * std_accuracy * std_reward)
                    THEN correlation
            END AS correlation
        )
    FROM sums
)

SELECT
    run_dir,
    group_id,
    reward_mode,
    n_episodes,
    mean_accuracy,
    mean_reward,
    std_accuracy,
    std_reward,
    min_accuracy,
    max_accuracy,
    min_reward,
    max_reward,
    correlation AS reward_accuracy_correlation,
    CASE
        WHEN n_episodes <= 2 OR correlation IS NULL THEN 'insufficient_data'
        WHEN correlation >= 0.7 THEN 'well_calibrated'
        WHEN correlation >= 0.3 THEN 'moderate'
        WHEN correlation >= 0 THEN 'weak'
        ELSE 'inverted'
    END AS calibration_status,
    to_json(non_finite) AS non_finite
FROM figures
