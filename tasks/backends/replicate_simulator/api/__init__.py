"""Routes of the simulated API and of its delivery host: what a client may ask, and the answers."""
