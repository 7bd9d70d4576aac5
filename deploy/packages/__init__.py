"""What is given to people: wheels, what is in them, and a Debian package. Run by `make`."""
