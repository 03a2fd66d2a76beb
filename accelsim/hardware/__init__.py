"""What machines are made of. Knows no network."""
