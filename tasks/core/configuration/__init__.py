"""The typed configuration: its sections, its file, and how far a stranger's is trusted."""
