//! A log in files.
