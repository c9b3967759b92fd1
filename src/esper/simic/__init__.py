"""simic: the training loop, and the trackers that watch it."""
