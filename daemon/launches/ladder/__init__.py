"""What is given up, a step at a time, after memory ran out, and taken back when there is time to try."""
