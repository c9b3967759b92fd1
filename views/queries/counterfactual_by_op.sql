-- title: Do GROW ops help?
-- description: Mean change after GROW and SHRINK beyond the mean change after NOOPs. Observational and biased: NOOPs are chosen near an optimum, where changes are small.
-- grain: one row per op
-- key: op
-- param run_dir VARCHAR = latest: the run; the latest if left out
-- param min_baseline_samples INTEGER = 10: NOOPs that the baseline must rest on; with 10 its first sample still weighs 0.91, with 100 0.37
-- column op: 4 GROW_INTERNAL, 5 SHRINK_INTERNAL
-- column n: ops with an outcome and a warm baseline; of a mean's values, where a loss or accuracy was no number, there are fewer
-- column avg_loss_advantage: mean loss change beyond the baseline; positive is worse
-- column avg_accuracy_advantage: mean accuracy change beyond the baseline [fraction]
-- column op_name: the op by name
SELECT
    op,
    count(*) AS n,
    avg(loss_advantage) AS avg_loss_advantage,
    avg(accuracy_advantage) AS avg_accuracy_advantage,
    any_value(op_name) AS op_name
FROM counterfactual_deltas
WHERE run_dir = $run_dir AND baseline_sample_count >= $min_baseline_samples
GROUP BY op
ORDER BY op
