"""What a pool is: its members, which of them are eligible, and who serves what."""
