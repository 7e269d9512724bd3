"""The start of a launch: its plan, its weights, its engine, and the check of its first answer."""
