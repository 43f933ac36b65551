"""What feeds a learner: environments in JAX, scanned with it in one program, or whatever Gymnasium has."""
