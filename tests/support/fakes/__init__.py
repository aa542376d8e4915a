"""Services that cannot be had in a test, as small as they can be and with their faults by name, on loopback.

Each keeps the truth of what it made. The official clients run against them (`test_official_clients.py`).
"""
