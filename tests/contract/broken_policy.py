"""A user's module that cannot be imported."""

raise NameError("name 'Polcy' is not defined")
