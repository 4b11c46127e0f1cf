//! What will air.
