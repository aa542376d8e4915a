"""Facts that an image file carries about itself: its parameters, and that it was generated."""
