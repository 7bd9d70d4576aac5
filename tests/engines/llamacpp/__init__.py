"""llama.cpp behind Penstock: `make test-engines`, in every run of CI."""
