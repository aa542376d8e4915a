"""Slots of jobs in flight: `slot` one of them, `by_shape` the order in which jobs of several shapes get theirs."""
