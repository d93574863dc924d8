//! Every fact there is.

use super::Fact;
use std::fmt::Display;

/// Declares a fact: its level, sentence and counter; `labels` go to log and counter, the rest to the log.
macro_rules! fact {
    (
        $(#[$doc:meta])*
        $name:ident: $level:ident, $text:literal, $counter:literal,
        labels { $($(#[$label_doc:meta])* $label:ident),* },
        texts { $($(#[$field_doc:meta])* $field:ident),* },
        numbers { $($(#[$number_doc:meta])* $number:ident),* }
    ) => {
        $(#[$doc])*
        pub struct $name<'a> {
            $($(#[$label_doc])* pub $label: &'a dyn Display,)*
            $($(#[$field_doc])* pub $field: &'a dyn Display,)*
            $($(#[$number_doc])* pub $number: u64,)*
        }

        impl Fact for $name<'_> {
            fn emit(self) {
                tracing::$level!(
                    $($label = %self.$label,)*
                    $($field = %self.$field,)*
                    $($number = self.$number,)*
                    $text
                );
                metrics::counter!($counter $(, stringify!($label) => self.$label.to_string())*).increment(1);
            }
        }
    };
}

fact! {
    /// sidekick is up: every part runs.
    Ready: info, "sidekick runs", "sidekick_starts_total",
    labels { /** Own node name. */ node },
    texts { /** Version of the binary. */ version, /** Identity of the buffer. */ origin },
    numbers { /** Counts the starts on this buffer. */ incarnation, /** Configured servers. */ servers }
}
fact! {
    /// The drain began.
    Draining: info, "draining", "sidekick_drains_total",
    labels {}, texts { /** The signal or request. */ cause }, numbers {}
}
fact! {
    /// Something that is allowed but looks like a mistake.
    Suspicious: warn, "check the configuration", "sidekick_config_warnings_total",
    labels {}, texts { /** What, and the remedy. */ warning }, numbers {}
}
fact! {
    /// A server's process was started.
    ServerStarted: info, "server started", "sidekick_server_starts_total",
    labels { /** Its id. */ server },
    texts {},
    numbers { /** Its process id. */ os_pid, /** The epoch of the activation. */ epoch }
}
fact! {
    /// A server's process that outlived an earlier sidekick was taken over.
    ServerAdopted: info, "server adopted", "sidekick_server_adoptions_total",
    labels { /** Its id. */ server },
    texts {},
    numbers { /** Its process id. */ os_pid, /** The epoch of the activation. */ epoch }
}
fact! {
    /// A server has its state back and plays.
    ServerPlaying: info, "server plays", "sidekick_server_plays_total",
    labels { /** Its id. */ server },
    texts {},
    numbers { /** First tick after restore. */ tick, /** Since the process was started. */ start_ms }
}
fact! {
    /// A server's process ended.
    ServerEnded: warn, "server ended", "sidekick_server_ends_total",
    labels { /** Its id. */ server, /** Why. */ reason },
    texts {},
    numbers { /** Its process id. */ os_pid, /** How long it lived. */ lived_ms }
}
fact! {
    /// A server's main loop does not answer.
    ServerHung: warn, "server hangs", "sidekick_server_hangs_total",
    labels { /** Its id. */ server },
    texts {},
    numbers { /** Since the last heartbeat. */ silent_ms }
}
fact! {
    /// A server will be started again.
    ServerRestarting: info, "server restarts", "sidekick_server_restarts_total",
    labels { /** Its id. */ server },
    texts {},
    numbers { /** Pause before it. */ pause_ms, /** Restarts within the window. */ restarts }
}
fact! {
    /// A server ended too often and stays down until an operator starts it.
    ServerQuarantined: error, "server ended too often; start it with `sidekick ctl start` once the cause is gone",
    "sidekick_server_quarantines_total",
    labels { /** Its id. */ server },
    texts { /** Its last end. */ reason },
    numbers { /** Restarts within the window. */ restarts }
}
fact! {
    /// A start did not come to `hello` in time, or could not be tried.
    ServerStartFailed: warn, "server start failed", "sidekick_server_start_failures_total",
    labels { /** Its id. */ server },
    texts { /** Why, and the remedy. */ reason },
    numbers {}
}
fact! {
    /// The user has no inotify instance, or no watch, left; told once.
    LogsUnwatched: warn,
    "no inotify left for log files, which are looked at four times a second instead; raise the limit with sysctl",
    "sidekick_log_watch_shortages_total",
    labels { /** The limit of the kernel that is reached. */ limit },
    texts { /** What the kernel said. */ error },
    numbers {}
}
fact! {
    /// A crash bundle was written.
    CrashBundleWritten: info, "crash bundle written", "sidekick_crash_bundles_total",
    labels { /** Its id. */ server },
    texts { /** Where. */ path },
    numbers { /** Its number. */ number }
}
fact! {
    /// A game connected.
    SessionOpened: info, "session opened", "sidekick_sessions_total",
    labels { /** Its server. */ server },
    texts { /** The engine's version. */ engine },
    numbers { /** The epoch of the activation. */ epoch, /** The last batch committed before. */ batch }
}
fact! {
    /// A connection was refused or broke the protocol.
    SessionRefused: warn, "session refused", "sidekick_session_refusals_total",
    labels {},
    texts { /** Who, as far as known. */ peer, /** Why. */ reason },
    numbers {}
}
fact! {
    /// A node connected.
    PeerUp: info, "node up", "sidekick_peer_ups_total",
    labels { /** Its name. */ peer },
    texts { /** Who connected whom. */ direction },
    numbers {}
}
fact! {
    /// A node's connection ended.
    PeerDown: warn, "node down", "sidekick_peer_downs_total",
    labels { /** Its name. */ peer },
    texts { /** Why. */ reason },
    numbers {}
}
fact! {
    /// A configured node cannot be reached; told once until it changes.
    PeerUnreachable: warn, "node cannot be reached; sidekick buffers and tries again", "sidekick_peer_unreachable_total",
    labels { /** Its name. */ peer },
    texts { /** Why. */ reason },
    numbers {}
}
fact! {
    /// A handshake failed: wrong cookie, or not a node.
    HandshakeFailed: warn, "handshake failed", "sidekick_handshake_failures_total",
    labels {},
    texts { /** Who, as far as known. */ peer, /** Why. */ reason },
    numbers {}
}
fact! {
    /// A sink uploads again.
    SinkResumed: info, "sink uploads", "sidekick_sink_resumes_total",
    labels { /** Its name. */ sink },
    texts { /** The node that acknowledges. */ node },
    numbers {}
}
fact! {
    /// An upload failed or stayed without an answer; it is tried again.
    UploadFailed: warn, "upload failed; it is tried again", "sidekick_upload_failures_total",
    labels { /** The sink. */ sink },
    texts { /** The stream. */ stream, /** Why. */ reason },
    numbers {}
}
fact! {
    /// A sink cannot go on by itself.
    SinkHalted: error, "sink halted; an operator must decide", "sidekick_sink_halts_total",
    labels { /** Its name. */ sink },
    texts { /** Why, and the remedy. */ reason },
    numbers {}
}
fact! {
    /// The circuit breaker of a sink opened, lets one batch through, or closed.
    BreakerMoved: warn, "the circuit breaker of a sink moved", "sidekick_sink_breaker_changes_total",
    labels { /** The sink. */ sink, /** Where it stands now. */ breaker },
    texts { /** What went wrong last. */ error },
    numbers { /** Failures in a row. */ failures }
}
fact! {
    /// Records are kept for a sink that the configuration no longer has.
    SinkRemoved: warn,
    "records are kept for a sink that the configuration does not have; put it back, or give it up by `sidekick ctl sink forget`",
    "sidekick_sink_removed_total",
    labels { /** The sink. */ sink },
    texts {},
    numbers { /** What it has not acknowledged. */ lag_records }
}
fact! {
    /// An operator gave up records that a store had acknowledged and lost.
    LossAccepted: error, "records that a store lost were given up by an operator", "sidekick_sink_losses_accepted_total",
    labels { /** The sink. */ sink },
    texts { /** The stream. */ stream },
    numbers { /** The first of them. */ from, /** The last of them. */ to }
}
fact! {
    /// A store holds less of a stream than it had acknowledged; what it lacks is here still, and is sent again.
    StoreWentBack: warn,
    "the store of a sink lacks records that it had acknowledged, and is sent them again; was it restored from an older backup?",
    "sidekick_sink_store_went_back_total",
    labels { /** The sink. */ sink },
    texts { /** The stream. */ stream },
    numbers { /** What it holds. */ held, /** What it had acknowledged. */ acknowledged }
}
fact! {
    /// A store holds less of a scope's state than it had acknowledged; it gets the whole of it.
    StateWentBack: warn,
    "the store of a sink lacks state that it had acknowledged, and is sent the whole of that scope; was it restored from an older backup?",
    "sidekick_sink_state_went_back_total",
    labels { /** The sink. */ sink },
    texts { /** The scope. */ scope },
    numbers { /** The revision it holds. */ held, /** What it had acknowledged. */ acknowledged }
}
fact! {
    /// A sink refused a record for what it holds, which was put among its dead letters.
    RecordDead: error,
    "a sink refused a record, which lies among its dead letters; see `sidekick ctl sink dead`",
    "sidekick_sink_dead_records_total",
    labels { /** The sink. */ sink },
    texts { /** Where the record stands. */ stream, /** What the sink said. */ error },
    numbers { /** Its place there. */ seq, /** The letter's number. */ letter, /** How often it was offered alone. */ attempts }
}
fact! {
    /// A sink refuses the state of a scope for what it holds; that scope waits, and is tried again.
    StateRefused: error,
    "a sink refuses the state of a scope, which waits; a later value, or what refuses it mended, lets it go on",
    "sidekick_sink_state_refused_total",
    labels { /** The sink. */ sink },
    texts { /** The scope. */ scope, /** What the sink said. */ error },
    numbers { /** How often by now. */ attempts }
}
fact! {
    /// It takes the state of such a scope again.
    StateTaken: info, "a sink takes the state of a scope again", "sidekick_sink_state_taken_total",
    labels { /** The sink. */ sink },
    texts { /** The scope. */ scope },
    numbers {}
}
fact! {
    /// An operator had dead letters offered again, or discarded.
    DeadSettled: info, "dead letters settled", "sidekick_sink_dead_settled_total",
    labels { /** The sink. */ sink, /** Offered again or discarded. */ how },
    texts {},
    numbers { /** How many. */ letters }
}
fact! {
    /// The buffer is full and appends wait or are refused.
    BufferFull: error, "buffer full; bring a sink back, raise [buffer] max_bytes or forget a removed sink",
    "sidekick_buffer_full_total",
    labels {},
    texts { /** Its directory. */ dir },
    numbers { /** What it holds. */ bytes, /** What it may hold. */ max_bytes }
}
fact! {
    /// The buffer has room again.
    BufferRelieved: info, "buffer has room again", "sidekick_buffer_relieved_total",
    labels {},
    texts { /** Its directory. */ dir },
    numbers { /** What it holds. */ bytes, /** What it may hold. */ max_bytes }
}
fact! {
    /// Writing failed; sidekick ends, so that nothing is acknowledged that is not on disk.
    BufferFailed: error, "buffer cannot be written; sidekick ends", "sidekick_buffer_failures_total",
    labels {},
    texts { /** What the system said. */ reason },
    numbers {}
}

fact! {
    /// A server does not answer; it is being ended.
    ServerSilent: warn, "unresponsive", "sidekick_server_hangs_total",
    labels { /** Its id. */ server },
    texts { /** What it does. */ activity },
    numbers { /** Its process id. */ os_pid, /** For how long, as observed. */ silent_ms }
}
fact! {
    /// A server's memory reached its `memory_warn`.
    MemoryHigh: warn, "memory is high", "sidekick_server_memory_warnings_total",
    labels { /** Its id. */ server },
    texts {},
    numbers { /** Resident memory. */ rss_bytes, /** The bound. */ warn_bytes }
}

fact! {
    /// The device of a server's log files is full.
    LogsFull: error, "the device of the log files is full: older lines are given up for new ones; make room", "sidekick_server_logs_full_total",
    labels { /** Its id. */ server },
    texts { /** The directory of the log files. */ dir },
    numbers {}
}

/// Records were dropped because the buffer was full, as the stream's rule says.
pub struct RecordsDropped<'a> {
    /// The stream.
    pub stream: &'a dyn Display,
    /// How many.
    pub records: u64,
}

impl Fact for RecordsDropped<'_> {
    fn emit(self) {
        tracing::error!(stream = %self.stream, records = self.records, "records dropped");
        metrics::counter!("sidekick_dropped_records_total").increment(self.records);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_fact_is_one_line_with_its_fields() {
        let sink = Sink::default();
        let writer = sink.clone();
        let subscriber = tracing_subscriber::fmt()
            .json()
            .flatten_event(true)
            .with_writer(move || writer.clone())
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            ServerEnded {
                server: &"lobby",
                reason: &"signal sigsegv",
                os_pid: 7,
                lived_ms: 12,
            }
            .emit();
        });
        let line: serde_json::Value = serde_json::from_slice(&sink.0.lock().unwrap()).unwrap();
        assert_eq!(line["level"], "WARN");
        assert_eq!(line["message"], "server ended");
        assert_eq!(line["server"], "lobby");
        assert_eq!(line["lived_ms"], 12);
    }
}
