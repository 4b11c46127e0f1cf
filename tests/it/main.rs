//! Tests of the parts together.

mod config;
