"""Connections whose bytes are relayed without being understood."""
