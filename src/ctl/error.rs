//! Why a command failed, and what to do.

use crate::config::ConfigError;
use crate::show;
use serde_json::{Map, Value};
use std::path::PathBuf;
use std::time::Duration;

/// A failed command.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CtlError {
    /// The configuration that should name the runtime directory is no use.
    #[error("{0}")]
    Config(#[from] ConfigError),
    /// Nothing tells where a sidekick runs.
    #[error(
        "no sidekick runs with the runtime directory {}; start it with  sidekick run  or name the right one with --config or \
         --run-dir",
        run_dir.display()
    )]
    NotRunning {
        /// Where its control file should be.
        run_dir: PathBuf,
    },
    /// A sidekick ended without clearing its control file.
    #[error(
        "sidekick is not running: nothing answers on port {port}, so {} is left over from one that died; start it again with  \
         sidekick run",
        file.display()
    )]
    Stale {
        /// The control file.
        file: PathBuf,
        /// The port it names.
        port: u16,
    },
    /// The control file or its cookie cannot be used.
    #[error("{}: {reason}; {remedy}", file.display())]
    ControlFile {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        reason: String,
        /// What to do.
        remedy: &'static str,
    },
    /// Something answered, but not as a sidekick.
    #[error(
        "port {port} did not answer as this sidekick ({reason}); if sidekick was just restarted try again, else restart it"
    )]
    Handshake {
        /// The port.
        port: u16,
        /// What happened.
        reason: String,
    },
    /// The connection ended before the answer.
    #[error(
        "sidekick closed the connection before it answered ({0}); see its log, then  sidekick ctl status"
    )]
    Lost(String),
    /// No answer in time.
    #[error("no answer within {}; the work goes on: see  sidekick ctl status  or wait longer with --timeout", humantime::format_duration(*.0))]
    Timeout(Duration),
    /// sidekick refused or failed; its own words.
    #[error("{}", refusal(code, facts))]
    Refused {
        /// The code.
        code: String,
        /// Facts by name.
        facts: Map<String, Value>,
    },
    /// An answer that this version does not understand.
    #[error(
        "sidekick answered {0}, which this version of ctl does not understand; use the ctl of the same version"
    )]
    Answer(String),
    /// The answer could not be written.
    #[error("cannot write the answer: {0}")]
    Output(#[from] std::io::Error),
}

impl CtlError {
    /// 2 for a wrong configuration, else 1; a reader that went away is no failure.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_) => 2,
            Self::Output(error) if error.kind() == std::io::ErrorKind::BrokenPipe => 0,
            _ => 1,
        }
    }

    /// The same for programs: `{"error": {"code": ..., ...}}`.
    pub fn to_json(&self) -> Value {
        let (code, mut facts) = match self {
            Self::Refused { code, facts } => (code.as_str(), facts.clone()),
            Self::Config(_) => ("configuration", Map::new()),
            Self::NotRunning { .. } | Self::Stale { .. } => ("not_running", Map::new()),
            Self::ControlFile { .. } => ("control_file", Map::new()),
            Self::Handshake { .. } => ("handshake", Map::new()),
            Self::Lost(_) => ("connection_lost", Map::new()),
            Self::Timeout(_) => ("timeout", Map::new()),
            Self::Answer(_) => ("unknown_answer", Map::new()),
            Self::Output(_) => ("output", Map::new()),
        };
        facts.insert("code".to_owned(), code.into());
        facts.insert("message".to_owned(), self.to_string().into());
        serde_json::json!({ "error": facts })
    }
}

/// A refusal as a sentence: what, the facts, the remedy.
fn refusal(code: &str, facts: &Map<String, Value>) -> String {
    let remedy = match (code, facts.get("what").and_then(Value::as_str)) {
        ("not_found", Some("server")) => "; `sidekick ctl status` lists the servers",
        ("not_found", Some("stream")) => "; `sidekick ctl streams` lists the streams",
        ("not_found", Some("sink")) => "; `sidekick ctl sink list` lists the sinks",
        ("unknown_request", _) => "; use the ctl of the same version as the running sidekick",
        _ => "",
    };
    format!("{}{remedy}", show::refusal(code, facts))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(code: &str, facts: Value) -> String {
        let Value::Object(facts) = facts else {
            panic!("facts are an object")
        };
        CtlError::Refused {
            code: code.to_owned(),
            facts,
        }
        .to_string()
    }

    #[test]
    fn refusals_read_as_sentences() {
        assert_eq!(
            refused(
                "not_found",
                serde_json::json!({"what": "server", "name": "loby"})
            ),
            "there is no server \"loby\"; `sidekick ctl status` lists the servers"
        );
        assert_eq!(
            refused(
                "stale_epoch",
                serde_json::json!({"current": 7, "detail": "it was replaced"})
            ),
            "stale epoch (current: 7): it was replaced"
        );
    }

    #[test]
    fn programs_get_the_code() {
        let json = CtlError::Timeout(Duration::from_secs(5)).to_json();
        assert_eq!(json["error"]["code"], "timeout");
        assert!(
            json["error"]["message"]
                .as_str()
                .unwrap()
                .contains("within 5s")
        );
    }
}
