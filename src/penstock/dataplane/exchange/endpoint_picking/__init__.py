"""The Endpoint Picker protocol: a gateway asks for the endpoint, and carries the request itself."""
