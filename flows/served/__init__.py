"""Entry points that Prefect loads by path when `imagen serve` runs a flow."""
