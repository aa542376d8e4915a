"""The flows, one file each, and the command line. No shared classes, no HTTP and no pyarrow live here."""
