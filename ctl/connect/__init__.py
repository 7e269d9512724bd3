"""Settings of the clients that people use, for the models that are served here."""
