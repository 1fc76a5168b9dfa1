//! Master boot records: placeholder
