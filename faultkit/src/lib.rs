//! What breaks on purpose, for tests: sockets that refuse, reset, hang and drip.
