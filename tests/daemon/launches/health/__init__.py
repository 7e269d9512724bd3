"""The health of engines that serve: policy by numbers, engines that hang for real."""
