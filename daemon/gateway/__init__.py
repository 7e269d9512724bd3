"""One address for all served models, in the protocols that clients speak."""
