"""The HTTP client that the remote backends share."""
