-- title: Are internal ops used?
-- description: Share of GROW and SHRINK among a run's non-NOOP decisions while a seed with levels was present. Under 10 % the policy hardly uses them.
-- grain: one row per run
-- key: run_dir
-- param run_dir VARCHAR = all: the run; all runs if left out
-- column run_dir: the run
-- column internal_ops: level changes
-- column total_decisions: non-NOOP decisions while a seed with levels was present (all of them where that was not recorded)
-- column pct: 100 * internal_ops / total_decisions [percent]
WITH ops AS (
    SELECT run_dir, count(*) AS internal_ops
    FROM seed_internal_levels
    WHERE $run_dir IS NULL OR run_dir = $run_dir
    GROUP BY run_dir
),

choices AS (
    SELECT run_dir, count(*) FILTER (op != 'NOOP' AND ladder_present IS NOT FALSE) AS total_decisions
    FROM decisions
    WHERE $run_dir IS NULL OR run_dir = $run_dir
    GROUP BY run_dir
)

SELECT
    run_dir,
    coalesce(internal_ops, 0) AS internal_ops,
    coalesce(total_decisions, 0) AS total_decisions,
    round(100.0 * coalesce(internal_ops, 0) / nullif(total_decisions, 0), 1) AS pct
FROM ops
FULL JOIN choices USING (run_dir)
ORDER BY run_dir
