//! Wiring: builds every part from the configuration and runs them.
