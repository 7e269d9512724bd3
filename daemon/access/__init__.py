"""Who may ask the gateway over the network: keys, by name."""
