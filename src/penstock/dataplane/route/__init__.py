"""From a request head to the plan that says what happens to it."""
