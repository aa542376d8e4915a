"""Step 4: jobs become images, within limits and a budget."""
