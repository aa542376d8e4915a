"""Step 2: prompts become jobs."""
