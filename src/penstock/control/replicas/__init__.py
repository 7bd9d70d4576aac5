"""Other balancers: what they are told, and what they tell, through the shared store."""
