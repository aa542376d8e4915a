"""The commands of `imagen`, one file each: a name, a function, nothing that runs when it is imported."""
