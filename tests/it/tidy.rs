//! Placeholder: tidy.
