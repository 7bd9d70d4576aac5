"""The APIs that engines speak: one file for each reads its requests and writes its answers."""
