//! The surface for programs.
