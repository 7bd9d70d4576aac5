"""Run by the clients' own environments, without Penstock. Each prints what it was told."""
