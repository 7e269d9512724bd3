"""The nouns: hardware, model shapes, plans, errors. Standard library only."""
