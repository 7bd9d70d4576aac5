"""How much one may ask for: rates, budgets, places, each for many subjects."""
