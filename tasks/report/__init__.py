"""Step 7: what people see of a batch."""
