"""A request of a described API: `template` placeholders, `values` of a job for them, `pointers` into bodies.

`build` makes the body or form of it, `tokens` brings tokens that end after a while, and `signing` signs it for AWS.
"""
