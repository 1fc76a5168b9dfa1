//! The integration tests: one binary, whose folders mirror the server's.

mod it {}
