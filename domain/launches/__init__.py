"""A model that is served: what was asked, its plan, when it is served, what was measured."""
