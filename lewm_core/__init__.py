"""Explicit vision signals as auxiliary supervision for world-model fine-tuning: the paper's parts, and a room for
everything else.

    config, model, heads, losses, conditions, train, dataset    the paper
    sources → signals → curation                                 episodes, what is seen in them, which are taken
    checkpoints, experiments, diagnostics                        weights in and out, many runs, what is measured
    stats, viz, runner, utils                                    verdicts, figures, run_all.sh, files

Imports run one way: runner → viz → diagnostics → experiments → train → heads, conditions, checkpoints → model, losses,
dataset → curation → signals → sources → utils. `stats` imports `utils` alone.
"""
