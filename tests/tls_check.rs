//! What `sidekick check` says of certificates that peers would refuse, and `sidekick run` with them.

#![allow(clippy::unwrap_used)]

#[path = "support/certificates.rs"]
mod certificates;
#[path = "support/sidekick.rs"]
mod support;

use certificates::Authority;
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, KeyPair, date_time_ymd};
use sidekick::node::TlsFiles;
use std::path::Path;
use support::{Sidekick, binary};

const CONFIG: &str = r#"
[node]
name = "sidekick@127.0.0.1"
[node.tls]
cert_file = "node.pem"
key_file = "node.key"
ca_file = "ca.pem"
[[server]]
id = "a"
command = ["sh"]
"#;

/// Exit code and complaints of `sidekick check` after a change to proper files.
fn check(change: impl FnOnce(&Authority, &TlsFiles)) -> (Option<i32>, String) {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::new("the cluster");
    let files = authority.files(dir.path(), &["127.0.0.1"]);
    change(&authority, &files);
    std::fs::write(dir.path().join("sidekick.toml"), CONFIG).unwrap();
    let output = binary()
        .arg("check")
        .current_dir(dir.path())
        .output()
        .unwrap();
    (
        output.status.code(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

fn refused(change: impl FnOnce(&Authority, &TlsFiles), said: &[&str]) {
    let (code, text) = check(change);
    assert_eq!(code, Some(2), "{text}");
    for part in said {
        assert!(text.contains(part), "{part:?} is not in {text}");
    }
}

fn signed(authority: &Authority, files: &TlsFiles, change: impl FnOnce(&mut CertificateParams)) {
    let (certificate, key) = authority.sign(&["127.0.0.1"], change);
    std::fs::write(&files.cert, certificate).unwrap();
    std::fs::write(&files.key, key).unwrap();
}

fn expired(params: &mut CertificateParams) {
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2021, 1, 1);
}

#[test]
fn proper_files_are_accepted() {
    assert_eq!(check(|_, _| ()), (Some(0), String::new()));
    // Also with what both sides of a connection need said explicitly.
    let both = [
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
    ];
    let (code, text) = check(|ca, files| {
        signed(ca, files, |params| {
            params.extended_key_usages = both.to_vec();
        });
    });
    assert_eq!(code, Some(0), "{text}");
}

#[test]
fn files_that_cannot_be_read_are_named_with_the_remedy() {
    let file = |file: fn(&TlsFiles) -> &Path, text: &'static str| {
        move |_: &Authority, files: &TlsFiles| std::fs::write(file(files), text).unwrap()
    };
    refused(
        |_, files| std::fs::remove_file(&files.key).unwrap(),
        &["[node.tls] key_file = ", "node.key", "docs/OPERATING.md"],
    );
    refused(
        file(|f| &f.cert, "nothing"),
        &[
            "cert_file = ",
            "no certificate is in it",
            "BEGIN CERTIFICATE",
        ],
    );
    refused(
        file(|f| &f.key, "nothing"),
        &["key_file = ", "no private key is in it"],
    );
    refused(
        file(
            |f| &f.ca,
            "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n",
        ),
        &["ca_file = ", "not proper PEM"],
    );
    refused(
        file(
            |f| &f.key,
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
        ),
        &["the key is encrypted", "openssl pkey"],
    );
    refused(
        |_, files| {
            std::fs::remove_file(&files.ca).unwrap();
            std::fs::create_dir(&files.ca).unwrap();
        },
        &["ca_file = ", "not a file"],
    );
}

#[test]
fn certificates_that_peers_would_refuse_are_refused_with_the_reason() {
    refused(
        |_, files| {
            let key = KeyPair::generate().unwrap().serialize_pem();
            std::fs::write(&files.key, key).unwrap();
        },
        &["key_file = ", "not that of the certificate in", "node.pem"],
    );
    refused(
        |_, files| std::fs::write(&files.ca, Authority::new("another").pem()).unwrap(),
        &["cert_file = ", "no CA in", "ca.pem signed it"],
    );
    refused(|ca, files| signed(ca, files, expired), &["has expired"]);
    refused(
        |ca, files| signed(ca, files, |p| p.not_before = date_time_ymd(2200, 1, 1)),
        &["not valid yet", "clock"],
    );
    refused(
        |ca, files| {
            let (certificate, key) = ca.sign(&["game2.example"], |_| ());
            std::fs::write(&files.cert, certificate).unwrap();
            std::fs::write(&files.key, key).unwrap();
        },
        &["not for 127.0.0.1", "game2.example", "subjectAltName"],
    );
    refused(
        |ca, files| {
            signed(ca, files, |params| {
                params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
            });
        },
        &["serverAuth and clientAuth"],
    );
    refused(
        |ca, files| {
            signed(ca, files, |params| {
                params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
            });
        },
        &["a CA's own certificate"],
    );
}

#[test]
fn an_expired_certificate_is_told_and_does_not_keep_sidekick_from_its_games() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::new("the cluster");
    let files = authority.files(dir.path(), &["127.0.0.1"]);
    signed(&authority, &files, expired);
    let port = support::free_port();
    let config = CONFIG.replace(
        "[node.tls]",
        &format!("[node.epmd]\nport = {port}\n[node.tls]"),
    );
    let config = config.replace("sidekick@", &format!("sidekick_{}@", std::process::id()));
    std::fs::write(
        dir.path().join("sidekick.toml"),
        config + "autostart = false\n",
    )
    .unwrap();
    let sidekick = Sidekick::start_in(dir.path());
    let told = sidekick.seen("peers will refuse the certificate");
    assert!(told.contains("has expired"), "{told}");
}
