"""Real services that tests start for themselves on loopback: nothing has to be set up before."""
