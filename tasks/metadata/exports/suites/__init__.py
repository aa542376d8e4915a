"""Folders as the programs of evaluation suites read them."""
