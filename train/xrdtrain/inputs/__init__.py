"""What a network takes in: its axis, its channels, the transform of the intensity."""
