"""Data: the batch contract, the input pipeline and data sets."""
