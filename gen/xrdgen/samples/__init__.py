"""What is in a row: from an identity to crystal, diffractogram and record."""
