"""The address that the gateway listens on, and what arrives there."""
