"""The file of the state: opened and checked, copied, and replaced where it is damaged."""
