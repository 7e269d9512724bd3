"""What a launch gives up after memory ran out, and how it gets that back."""
