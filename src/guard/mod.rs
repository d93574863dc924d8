//! The tiny parent of one server process.
