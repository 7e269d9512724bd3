"""What the arithmetic needs of a model, whatever the engine: hyperparameters, windows, layer sizes."""
