"""What an image file says about itself: its parameters, and that it was generated."""
