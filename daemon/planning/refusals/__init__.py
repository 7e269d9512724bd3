"""What is told of a model that does not fit."""
