"""Commands by which people judge images."""
