"""Files beside a model that a plan uses: a projector, and what drafts tokens."""
