"""Batches of jobs at a service: gathered, created once, waited for over days, read line by line.

`service` what a batch API has to answer, `gathering` jobs into batches, `lists` batches whose create was not answered, `ended`
those that are waited for, `results` their lines on disk, `desk` the whole.
"""
