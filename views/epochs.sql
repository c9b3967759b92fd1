-- title: Epochs
-- description: Validation and training figures of each environment after each epoch. The val_ and train_ accuracies are percent in every run; accuracy is the fraction.
-- grain: one row per environment, episode and epoch
-- key: run_dir, env_id, episode_idx, epoch
-- column event_id: unique name of the event
-- column timestamp: when it was written, UTC
-- column run_dir: the run
-- column group_id: name for runs that belong together
-- column epoch: epoch within the episode
-- column env_id: environment, unique over all ranks
-- column episode_idx: the environment's episode, from 0
-- column inner_epoch: epoch within the episode
-- column val_accuracy: validation accuracy [percent]
-- column val_loss: validation loss
-- column train_accuracy: training accuracy [percent]
-- column train_loss: training loss
-- column rank: process that wrote it; null in the predecessor's files
-- column loss: validation loss
-- column accuracy: validation accuracy [fraction]
-- column params: active parameters of the model [scalars]
-- column non_finite: floats that were not finite, by name
SELECT
    event_id,
    timestamp,
    run_dir,
    group_id,
    epoch,
    env_id,
    episode_idx,
    inner_epoch,
    coalesce(val_accuracy, 100 * accuracy) AS val_accuracy,
    coalesce(val_loss, loss) AS val_loss,
    CASE WHEN accuracy IS NULL THEN train_accuracy ELSE 100 * train_accuracy END AS train_accuracy,
    train_loss,
    rank,
    coalesce(loss, val_loss) AS loss,
    coalesce(accuracy, val_accuracy / 100) AS accuracy,
    params,
    non_finite
FROM live.epoch_completed
