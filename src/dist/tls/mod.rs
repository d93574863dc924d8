//! Distribution over TLS, as OTP's `-proto_dist inet_tls` speaks it, on rustls.
//!
//! Both sides show certificates: an inbound peer's must be signed by a CA of `ca_file`, a peer that we connect to must
//! besides be the host that its node name says, as OTP has it by default. The files are looked at before every handshake
//! and read again where they changed ([`Tls`]); sessions are never resumed, so that a CA taken out is out at once.
//!
//! [`Session`] is one connection. It gives rustls the bytes itself instead of splitting a stream of tokio-rustls,
//! because a reader that may have to write first can stop both ends for ever; here no read waits for a write.

mod material;
mod session;

pub use material::{Tls, TlsFiles, TlsFilesError};
pub use session::Session;

use rustls::{AlertDescription, CertificateError, Error};
use std::path::PathBuf;

/// Why a TLS handshake failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// Too slow.
    #[error("the TLS handshake took longer than {} seconds; does the peer speak TLS (-proto_dist inet_tls)?", super::handshake::TIMEOUT.as_secs())]
    Timeout,
    /// The peer hung up.
    #[error("the peer hung up in the TLS handshake; its log says why")]
    Closed,
    /// The bytes are no TLS.
    #[error("the peer does not speak TLS; start it with -proto_dist inet_tls")]
    NotTls,
    /// More bytes than any honest peer sends.
    #[error("the peer sent more than {0} bytes before it had proved itself")]
    TooMuch(usize),
    /// No certificate from the peer.
    #[error("the peer shows no certificate; give it certfile and keyfile in its ssl_dist_optfile")]
    NoCertificate,
    /// Nobody we trust signed the peer's certificate.
    #[error("the peer's certificate is not signed by a CA in {}; sign it with that CA, or add its CA to the file", .0.display())]
    UnknownCa(PathBuf),
    /// The peer's certificate is of no use for another reason.
    #[error("the peer's certificate is refused: {0}")]
    Certificate(String),
    /// The peer refuses ours.
    #[error("the peer refuses us: {0}")]
    Refused(String),
    /// The host part of the peer's name cannot stand in a certificate.
    #[error("{0:?} is neither a host name nor an address, so no certificate can be valid for it")]
    Host(String),
    /// Broken connection.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// Anything else.
    #[error("the TLS handshake failed: {0}")]
    Other(String),
}

impl TlsError {
    fn new(error: &Error, ca_file: &std::path::Path) -> Self {
        match error {
            Error::NoCertificatesPresented => Self::NoCertificate,
            Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
                Self::UnknownCa(ca_file.to_owned())
            }
            Error::InvalidCertificate(why) => Self::Certificate(explain(why)),
            Error::AlertReceived(alert) => Self::Refused(alert_text(*alert)),
            Error::InvalidMessage(_) => Self::NotTls,
            other => Self::Other(other.to_string()),
        }
    }
}

/// What is wrong with a certificate, and what to do.
fn explain(why: &CertificateError) -> String {
    use CertificateError as E;
    match why {
        E::Expired | E::ExpiredContext { .. } => {
            "it has expired; make a new one, or set the clock right".to_owned()
        }
        E::NotValidYet | E::NotValidYetContext { .. } => {
            "it is not valid yet; set the clock right".to_owned()
        }
        E::UnknownIssuer => "no CA that is trusted here signed it".to_owned(),
        E::NotValidForNameContext {
            expected,
            presented,
        } => {
            let names = if presented.is_empty() {
                "no name at all".to_owned()
            } else {
                presented.join(", ")
            };
            format!(
                "it is not for {}, the host in the node's name, but for {names}; make one with that host in its subjectAltName",
                expected.to_str()
            )
        }
        E::InvalidPurpose | E::InvalidPurposeContext { .. } => {
            "its extendedKeyUsage does not allow this; nodes need both serverAuth and clientAuth, or no extendedKeyUsage".to_owned()
        }
        E::Other(other) if other.to_string().contains("CaUsedAsEndEntity") => {
            "it is a CA's own certificate; make one of the node's own, signed by that CA".to_owned()
        }
        E::Other(other) if other.to_string().contains("UnsupportedCertVersion") => {
            "it is of X.509 version 1; make it with extensions (subjectAltName), which makes it version 3".to_owned()
        }
        other => other.to_string(),
    }
}

/// What a peer's alert means to an operator.
fn alert_text(alert: AlertDescription) -> String {
    use AlertDescription as A;
    let certificate = match alert {
        A::UnknownCA => {
            "it does not trust the CA that signed our certificate; add it to the peer's cacertfile"
        }
        A::CertificateExpired => "our certificate has expired; make a new one",
        A::CertificateRequired => "it wants a certificate and took ours for none",
        A::BadCertificate | A::CertificateUnknown | A::UnsupportedCertificate => {
            "it does not accept our certificate; its log says why"
        }
        A::HandshakeFailure => {
            "no common cipher or kind of key, or it does not accept our certificate; its log says why"
        }
        A::ProtocolVersion => "no common version of TLS; sidekick speaks 1.2 and 1.3",
        other => return format!("{other:?}"),
    };
    certificate.to_owned()
}

/// A TLS failure within a stream's error, as it shows once the connection is in use.
fn in_use(error: &Error) -> std::io::Error {
    let text = match error {
        Error::AlertReceived(alert) => format!("the peer refuses us: {}", alert_text(*alert)),
        other => format!("TLS: {other}"),
    };
    std::io::Error::new(std::io::ErrorKind::InvalidData, text)
}
