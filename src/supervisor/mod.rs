//! Starts, watches, restarts and adopts game servers.
