//! Typed requests and replies, their terms, and their dispatch.
