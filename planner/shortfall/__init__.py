"""A model that does not fit, for an owner who has to decide: what is short, what fits, what would hold it."""
