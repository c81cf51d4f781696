"""What the notebooks of this artifact share: sources, signals, dataset, model, losses, training, analysis.

Imports run one way: episodes and sources → signals → curation, selection → dataset → model, heads, losses, conditions →
train → sweep → statistics, diagnostics, retrieval → plots, widgets, browser → cli.
"""

__version__ = "0.1.0"
