"""What keys and limits cost, and whether they hold: Penstock beside LiteLLM's proxy."""
