"""Everything that imports Prefect."""
