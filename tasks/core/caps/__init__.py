"""Caps as the configuration has them: so many dollars or images a day or month, over all batches."""
