"""What the Makefile promises: an environment, and a model that answers, on a machine with little on it."""
