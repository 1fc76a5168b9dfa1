//! GUID partition tables: placeholder
