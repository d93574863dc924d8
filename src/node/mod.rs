//! The Erlang node: names, pids, mailboxes, monitors, links, calls.
