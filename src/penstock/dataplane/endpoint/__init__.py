"""The endpoint's side: connections to endpoints, and what they hand to an exchange."""
