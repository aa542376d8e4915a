"""Step 7, for people's eyes: `index.html`, a page over a batch's images that needs no server.

`build` writes it, from the ledger and the files alone: `thumbnails` makes small images once, `rows` puts the jobs
into scripts beside the page (a page opened from a file may load scripts, but may not fetch), `manifest_rows` says
which row makes a job again, `figures` and `plots` are the summary, `page` puts `assets/` together, `comparison` shows two batches on one. Nothing here
writes to the ledger, so it may go on beside a living run.
"""
