"""What Prefect loads by its path when `imagen serve` runs a flow."""
