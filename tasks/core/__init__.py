"""The nouns, the errors, the settings and the small tools that every room uses. Imports none of them."""
