"""What a machine has: hardware, sensors, where its memory is."""
