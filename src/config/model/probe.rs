//! `[server.probe]`: how a process without a session is asked whether it serves.

use crate::config::values::duration_text;
use serde::{Deserialize, Serialize, Serializer};
use std::net::IpAddr;
use std::num::{NonZeroU16, NonZeroU32};
use std::time::Duration;

/// `[server.probe]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProbeConfig {
    /// What is done.
    pub kind: ProbeKind,
    /// Where the process listens.
    pub address: IpAddr,
    /// Its port.
    pub port: NonZeroU16,
    /// What is asked for (http only).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The status that means that all is well (http only); `None`: any from 200 to 299.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// What is sent (udp only).
    #[serde(skip_serializing_if = "ProbeBytes::is_empty")]
    pub payload: ProbeBytes,
    /// How the answer has to begin (udp only).
    #[serde(skip_serializing_if = "ProbeBytes::is_empty")]
    pub expect: ProbeBytes,
    /// Pause between two probes.
    #[serde(serialize_with = "duration_text")]
    pub interval: Duration,
    /// How long one may take.
    #[serde(serialize_with = "duration_text")]
    pub timeout: Duration,
    /// So many failures in a row and the process is taken to hang.
    pub failures: NonZeroU32,
}

/// What a probe does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProbeKind {
    /// Connects.
    Tcp,
    /// Sends a datagram and wants one back.
    Udp,
    /// Asks with GET.
    Http,
}

/// Bytes as people write them: text, or `hex:` and hexadecimal digits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProbeBytes(Vec<u8>);

impl ProbeBytes {
    /// Longest payload: it has to fit into one datagram on any way.
    pub const MAX: usize = 1_200;

    /// Reads what stands in the file; `None` where the digits are none or there are too many bytes.
    pub(in crate::config) fn read(text: &str) -> Option<Self> {
        let bytes = match text.strip_prefix("hex:") {
            None => text.as_bytes().to_vec(),
            Some(digits) => unhex(digits)?,
        };
        (bytes.len() <= Self::MAX).then_some(Self(bytes))
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn unhex(digits: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = digits.bytes().filter(|byte| *byte != b' ').collect();
    let value = |digit: u8| char::from(digit).to_digit(16).map(|value| value as u8);
    if digits.len() % 2 != 0 {
        return None;
    }
    let byte = |pair: &[u8]| Some(value(pair[0])? << 4 | value(pair[1])?);
    digits.chunks_exact(2).map(byte).collect()
}

impl Serialize for ProbeBytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use std::fmt::Write as _;
        let plain = std::str::from_utf8(&self.0).ok();
        let shown =
            plain.filter(|text| !text.starts_with("hex:") && !text.contains(char::is_control));
        if let Some(text) = shown {
            return serializer.serialize_str(text);
        }
        let digits = self.0.iter().fold("hex:".to_owned(), |mut digits, byte| {
            let _ = write!(digits, "{byte:02x}");
            digits
        });
        serializer.serialize_str(&digits)
    }
}
