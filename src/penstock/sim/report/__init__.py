"""What an experiment found, for people: a table in the terminal, a page with plots."""
