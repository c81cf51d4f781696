"""Which episodes a study is about: score, selection, bad episodes."""
