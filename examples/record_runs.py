"""``make runs``: records the two example runs, unedited, as ``karn train`` writes them."""
