//! A cluster's decisions.
