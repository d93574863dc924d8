//! Certificate authorities and nodes' certificates for tests, and OTP's options for them.

#![allow(dead_code, clippy::unwrap_used)]

use rcgen::{BasicConstraints, Certificate, CertificateParams, IsCa, KeyPair};
use sidekick::node::TlsFiles;
use std::path::Path;

/// A certificate authority.
pub struct Authority {
    key: KeyPair,
    certificate: Certificate,
}

impl Authority {
    pub fn new(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, name);
        let certificate = params.self_signed(&key).unwrap();
        Self { key, certificate }
    }

    /// Its own certificate, PEM.
    pub fn pem(&self) -> String {
        self.certificate.pem()
    }

    /// A certificate for these hosts and its key, both PEM, as the change says.
    pub fn sign(
        &self,
        hosts: &[&str],
        change: impl FnOnce(&mut CertificateParams),
    ) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let hosts: Vec<String> = hosts.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(hosts).unwrap();
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, "a node");
        change(&mut params);
        let certificate = params
            .signed_by(&key, &self.certificate, &self.key)
            .unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    /// Writes a certificate for these hosts, its key and our own certificate there.
    pub fn files(&self, dir: &Path, hosts: &[&str]) -> TlsFiles {
        let files = at(dir);
        let (certificate, key) = self.sign(hosts, |_| ());
        std::fs::write(&files.cert, certificate).unwrap();
        std::fs::write(&files.key, key).unwrap();
        std::fs::write(&files.ca, self.pem()).unwrap();
        files
    }
}

/// The names of the files in a directory.
pub fn at(dir: &Path) -> TlsFiles {
    TlsFiles {
        cert: dir.join("node.pem"),
        key: dir.join("node.key"),
        ca: dir.join("ca.pem"),
    }
}

/// Flags of an `erl` that speaks TLS as these options say, which are those of docs/OPERATING.md.
pub fn erl_flags(dir: &Path, server: &str, client: &str) -> Vec<String> {
    let file = dir.join("ssl_dist.config");
    let text = format!("[{{server, [{server}]}}, {{client, [{client}]}}].\n");
    std::fs::write(&file, text).unwrap();
    let file = file.display().to_string();
    let flags = ["-proto_dist", "inet_tls", "-ssl_dist_optfile", &file];
    flags.map(str::to_owned).to_vec()
}

/// Certificate and key as OTP's options.
pub fn own(files: &TlsFiles) -> String {
    let (cert, key) = (files.cert.display(), files.key.display());
    format!(r#"{{certfile, "{cert}"}}, {{keyfile, "{key}"}}"#)
}

/// That the peer's certificate is wanted and verified: all of it for a client, for a server without its last word.
pub fn verify(files: &TlsFiles) -> String {
    let ca = files.ca.display();
    format!(r#"{{cacertfile, "{ca}"}}, {{verify, verify_peer}}"#)
}
