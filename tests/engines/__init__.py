"""Real inference engines behind Penstock: a folder for each, with how it is made to run here."""
