"""Many runs: the base they start from, sweeps, the controls' arms, evaluation of a checkpoint."""
