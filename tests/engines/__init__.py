"""Real inference engines behind Penstock. `make test-engines` installs them and runs these."""
