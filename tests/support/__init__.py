"""What several tests need: fakes, servers and clients to drive, makers of files."""
