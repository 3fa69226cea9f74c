"""The embedded log engine: SQLite, WAL, synchronous=FULL.

journal.py     the engine: `Journal`
consumer.py    one member of a group
groups.py      who reads what: members, epochs, leases
appending.py   records into batches, batches into the file
reading.py     batches out of the file, checked
retention.py   deleting from the old end
space.py       what the file takes, and giving it back
reserve.py     room on the disk held for what must get in when it is full
frames.py      the bytes of a batch
sealing.py     encryption, and the keys for it
schema.py      tables and every SQL statement that more than one module uses
store.py       connections, the writers' lock, transactions, what an SQLite error means
marks.py       the small file beside the journal that survives it
pages.py       rows out of raw database pages, whatever state the file is in
salvage.py     a damaged file into a new one
"""
