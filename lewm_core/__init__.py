"""What the notebooks of this artifact share: sources, signals, dataset, model, losses, training, analysis.

Imports run one way: episodes and sources → signals → curation, selection → dataset → model, heads, losses, conditions →
train → sweep, controls → statistics, power, scaling → tokens, probes, capacity, retrieval, metrics, leak, planning →
verdicts, evidence, judges, claims → plots, charts, control_charts, widgets, browser → cli, commands.
"""

__version__ = "0.1.0"
