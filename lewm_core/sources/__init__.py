"""Where episodes come from. Every source yields `episode.Episode`; nothing downstream asks which it was."""
