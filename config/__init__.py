"""Settings, and the data that ships: the model catalogue, known hardware, examples."""
