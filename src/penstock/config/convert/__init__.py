"""Configurations of nginx and HAProxy, made into ours as far as the two have the same parts."""
