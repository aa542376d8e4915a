"""Images that another batch of this machine or bucket has made already: taken over instead of paid for again.

`identity` compares jobs over salts, `sources` finds the batches, `index` remembers what they made, `finder` asks it,
`adopt` brings one image over, `notes` compares what its file says, `take_over` does so for all open jobs of a batch, `record` writes it down.
"""
