"""The start of a launch: placed, its weights fetched, its engine started and proved."""
