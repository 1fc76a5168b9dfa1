//! Inventory: the computers, and how one is told from another.
