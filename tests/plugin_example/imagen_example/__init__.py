"""An example of a backend that another package brings."""
