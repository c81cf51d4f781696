"""What a run is judged by beside the paper's metric: errors in the world's units, and how much of its treatment it got.
"""
