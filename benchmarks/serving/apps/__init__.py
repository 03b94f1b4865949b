"""What the peers and the floors run: each module is started by a server in an environment of its own."""
