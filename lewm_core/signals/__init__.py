"""Signals of an episode: depth, point tracks and object mask, a file a backend, and what follows by geometry."""
