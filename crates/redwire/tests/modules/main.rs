//! The commands of the modules that Redis 8 brings along: what is sent, and what is made of the answers.

mod examples;
mod harness;
mod json;
mod probabilistic;
mod search;
mod time_series;
mod vector_sets;
