"""What the notebooks of this artifact share: sources, signals, dataset, model, losses, training, analysis.

Imports run one way: episodes and sources → signals → curation → dataset → model, heads, losses, conditions →
train → sweep → statistics, power, scaling → tokens, probes, capacity, retrieval, metrics, leak → verdicts, evidence,
judges, claims → plots, charts, control_charts, widgets → cli.
"""

__version__ = "0.1.0"
