//! Placeholder: sessions.
