//! Redirections.
