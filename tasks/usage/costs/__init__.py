"""`imagen costs`: this month's money against last month's, and what it will come to.

`months` which days are compared, `figures` sums over the usage table, `batches` what only this machine's ledgers know
(verdicts, reuse, reasons of failures), `forecast` the rest of the month, `report` all of it as one record, `screen` and
`page` the record for people.
"""
