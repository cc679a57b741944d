"""tests/lib - what the protocol and end-to-end tests stand on; Python's standard library only.

  wire.py      a small HTTP client on raw sockets that sees framing and broken endings
  image.py     container images made of random bytes
  origin.py    a registry that keeps a record and can misbehave; faults.py and auth.py belong to it
  proxy.py     starts, asks and stops the daemon under test
  registry.py  Debian's docker-registry
  lab.py       real clients inside private namespaces
  report.py    the pytest plugin behind tests/run
"""
