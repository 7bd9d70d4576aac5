"""A browser before Penstock: `make test-browser`, in every run of CI."""
