"""What an owner wants done at times of the day: stored, run by the usual orders, told as events."""
