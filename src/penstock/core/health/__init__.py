"""What is known of an endpoint's health, and what follows from it."""
