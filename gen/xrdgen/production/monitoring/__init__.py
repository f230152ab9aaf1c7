"""What a production is doing, for people and for monitoring systems."""
