"""The configuration: one document model, its readers, and its compiler to a snapshot."""
