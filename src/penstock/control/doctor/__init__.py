"""What a balancer would meet here: looked at before it runs, or beside one that runs."""
