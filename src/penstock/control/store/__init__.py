"""Where things are kept: files of the state directory, and what is one for several balancers."""
