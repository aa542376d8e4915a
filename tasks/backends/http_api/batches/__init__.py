"""Batches of the services that `http` describes: half the price, hours later."""
