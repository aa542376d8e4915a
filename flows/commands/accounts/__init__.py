"""Commands about money over all batches."""
