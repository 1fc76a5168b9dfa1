//! Placeholder: boot_http.
