"""What is counted in real structures, and the file that keeps it."""
