//! The limits of what waits for a subscriber.
