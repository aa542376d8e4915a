"""Step 5: image bytes become files, in a folder or a bucket."""
