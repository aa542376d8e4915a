"""Review: a batch's gallery on this machine's loopback, where people say which images are used.

`server` is what answers the browser with the pages of `app`, `judging` what it may say, also from a list of ids. The ledger keeps every
judgement; nothing but the gallery's own files and the batch's images is served.
"""
