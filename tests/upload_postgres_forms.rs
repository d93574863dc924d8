//! How a database is reached and what records look like in it: certificates, forms of payloads, and the real binary with its
//! commands.

#![allow(clippy::unwrap_used)]

#[path = "support/certificates.rs"]
mod certificates;
#[path = "support/echo.rs"]
mod echo;
#[path = "support/ports.rs"]
mod ports;
#[path = "support/postgres.rs"]
mod postgres;
#[path = "support/random_terms.rs"]
mod random_terms;
#[path = "support/sidekick.rs"]
mod sidekick_binary;
#[path = "support/uploader.rs"]
mod uploader;

use certificates::Authority;
use num_bigint::BigInt;
use postgres::{Place, Postgres, client, own};
use rand::SeedableRng;
use rand::rngs::StdRng;
use sidekick::buffer::{Buffer, Change, Options};
use sidekick::config::{PayloadForm, PostgresConfig};
use sidekick::etf::{self, Term};
use sidekick::types::{Key, StreamName};
use sidekick_binary::Sidekick;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;
use uploader::{Side, config, faults, stream};

fn postgres_port() -> u16 {
    ports::free_port()
}

/// Doubles that other mappings lose.
fn doubles() -> Vec<f64> {
    let mut doubles = vec![
        0.1,
        -0.0,
        0.0,
        1e308,
        f64::MAX,
        f64::MIN,
        5e-324,
        f64::MIN_POSITIVE,
        1.0 / 3.0,
        1e16,
        -1e-7,
        9_007_199_254_740_993.0,
    ];
    doubles.extend(
        (0..300)
            .map(|_| f64::from_bits(rand::random()))
            .filter(|d| d.is_finite()),
    );
    doubles
}

/// Terms of every kind. The seed is printed, so that a failure can be had again.
fn random(count: usize) -> Vec<Term> {
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    (0..count)
        .map(|_| random_terms::term(&mut rng, 4))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn jsonb_takes_every_term_and_keeps_doubles_to_the_bit() {
    for place in Place::all().await {
        let dir = TempDir::new().unwrap();
        let side = Side::start(dir.path(), &config(&place.url)).await;
        side.init().await;
        let doubles = doubles();
        let records: Vec<_> = doubles
            .iter()
            .map(|d| Term::map([("x", Term::Float(*d))]))
            .collect();
        side.append("doubles", &records).await;
        let mut terms: Vec<Term> = random(300);
        terms.push(Term::tuple([
            Term::atom("godot"),
            Term::atom("float"),
            Term::atom("nan"),
        ]));
        let huge = Term::Big(BigInt::from(7).pow(180_000));
        terms.insert(0, huge);
        side.append("terms", &terms).await;
        side.drain().await;

        let client = client(&place.url).await.unwrap();
        let sql = "SELECT coalesce(payload->'x'->>'$float', payload->>'x') FROM sidekick_records WHERE stream = 'doubles' ORDER BY seq";
        let rows = client.query(sql, &[]).await.unwrap();
        let found: Vec<u64> = rows
            .iter()
            .map(|row| row.get::<_, String>(0).parse::<f64>().unwrap().to_bits())
            .collect();
        let expected: Vec<u64> = doubles.iter().map(|double| double.to_bits()).collect();
        assert_eq!(found, expected, "{}", place.name);
        let sql = "SELECT count(*) FROM sidekick_records WHERE stream = 'terms'";
        let row = client.query_one(sql, &[]).await.unwrap();
        assert_eq!(row.get::<_, i64>(0), 302, "{}", place.name);
        let sql = "SELECT payload::text FROM sidekick_records WHERE stream = 'terms' AND seq = 302";
        let nan: String = client.query_one(sql, &[]).await.unwrap().get(0);
        assert_eq!(nan, r#"{"$tuple": ["godot", "float", "nan"]}"#);
        side.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bytea_holds_the_external_term_and_any_stream_has_a_name() {
    for place in Place::all().await {
        let dir = TempDir::new().unwrap();
        let settings = PostgresConfig {
            payload: PayloadForm::Bytea,
            ..config(&place.url)
        };
        let side = Side::start(dir.path(), &settings).await;
        side.init().await;
        let terms: Vec<Term> = random(100);
        let payloads = terms.iter().map(etf::encode).collect();
        let raw = StreamName::new(vec![0xff, 0]).unwrap();
        side.buffer.append(&raw, payloads, None).await.unwrap();
        side.put("score", 7).await;
        side.drain().await;
        let client = client(&place.url).await.unwrap();
        let sql = "SELECT payload, node FROM sidekick_records WHERE stream = $1 ORDER BY seq";
        let rows = client.query(sql, &[&"\\xff00"]).await.unwrap();
        let found: Vec<Vec<u8>> = rows.iter().map(|row| row.get(0)).collect();
        let expected: Vec<Vec<u8>> = terms
            .iter()
            .map(|term| etf::encode(term).to_vec())
            .collect();
        assert_eq!(found, expected, "{}", place.name);
        assert!(rows[0].get::<_, String>(1).starts_with("sidekick_"));
        let sql = "SELECT value, rev FROM sidekick_state WHERE scope = 'lobby' AND key = 'score'";
        let row = client.query_one(sql, &[]).await.unwrap();
        assert_eq!(
            row.get::<_, Vec<u8>>(0),
            etf::encode(&Term::int(7)).to_vec()
        );
        assert!(row.get::<_, i64>(1) > 0);
        side.stop().await;
    }
}

/// CockroachDB takes messages of 16 MiB, PostgreSQL those of 1 GiB. A character that JSON has to escape takes six bytes.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_large_for_one_message_goes_in_several_and_holds_up_nothing_else() {
    for place in Place::all().await {
        let dir = TempDir::new().unwrap();
        let mut options = Side::options("db", &config(&place.url));
        options.batch_bytes = 8 << 20;
        options.timeout = Duration::from_secs(30);
        let side = Side::start_sinks(dir.path(), vec![options]).await;
        side.init().await;
        let large = |bytes: usize| Term::map([("text", Term::text(&"\u{1}".repeat(bytes)))]);
        let put = |n: usize| {
            let key = Key::try_from(format!("key {n}").as_str()).unwrap();
            Change::Put(key, etf::encode(&large(1 << 19)))
        };
        let changes = (0..6).map(put).collect();
        side.buffer
            .change(&uploader::scope(), changes)
            .await
            .unwrap();
        side.append("events", &vec![large(1 << 19); 7]).await;
        side.append("events", &[large(3 << 20)]).await;
        side.append("events", &[large(1)]).await;
        side.drain().await;

        let client = client(&place.url).await.unwrap();
        let sql = "SELECT seq, length(payload->>'text')::int8 FROM sidekick_records ORDER BY seq";
        let rows = client.query(sql, &[]).await.unwrap();
        let stored: Vec<(i64, i64)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
        let mut expected: Vec<(i64, i64)> = (1..=7).map(|seq| (seq, 1 << 19)).collect();
        let dead = side.upload.dead(&uploader::sink()).await.unwrap();
        if place.is_cockroach() {
            assert_eq!((dead.len(), dead[0].seq), (1, 8), "{dead:?}");
            assert!(dead[0].error.contains("max_read_buffer_message_size"));
        } else {
            assert_eq!(dead.len(), 0, "{dead:?}");
            expected.push((8, 3 << 20));
        }
        expected.push((9, 1));
        assert_eq!(stored, expected, "{}", place.name);
        let sql = "SELECT count(*), min(length(value->>'text'))::int8 FROM sidekick_state";
        let row = client.query_one(sql, &[]).await.unwrap();
        assert_eq!((row.get(0), row.get(1)), (6_i64, 1_i64 << 19));
        side.stop().await;
    }
}

/// A server that lets nobody in who shows no certificate of this authority.
async fn certified(authority: &Authority) -> Postgres {
    let mut server = Postgres::prepared(&[
        "ssl = on",
        "ssl_cert_file = 'server.pem'",
        "ssl_key_file = 'server.key'",
        "ssl_ca_file = 'ca.pem'",
    ]);
    let (certificate, key) = authority.sign(&["127.0.0.1"], |_| ());
    let files = [
        ("server.pem", certificate),
        ("server.key", key),
        ("ca.pem", authority.pem()),
        (
            "pg_hba.conf",
            "hostssl all all 127.0.0.1/32 cert\n".to_owned(),
        ),
    ];
    for (name, text) in files {
        let file = server.data().join(name);
        std::fs::write(&file, text).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        own(&file);
    }
    server.run().await;
    server
}

/// Writes the certificate of a user of the database.
fn user(authority: &Authority, dir: &Path, settings: &mut PostgresConfig) {
    let (certificate, key) = authority.sign(&[], |params| {
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, "sidekick");
    });
    let file = |name: &str, text: String| {
        let file = dir.join(name);
        std::fs::write(&file, text).unwrap();
        Some(file)
    };
    settings.ca_file = file("ca.pem", authority.pem());
    settings.cert_file = file("user.pem", certificate);
    settings.key_file = file("user.key", key);
}

/// Uploads ten records; gives the error where that does not work.
async fn try_to_upload(settings: &PostgresConfig) -> Result<(), String> {
    let dir = TempDir::new().unwrap();
    let side = Side::start(dir.path(), settings).await;
    let made = side.upload.init(&uploader::sink()).await;
    let tried = match made {
        Ok(_) => {
            side.number("events", 1, 10).await;
            side.drain().await;
            side.cursor_at("events", 10).await;
            Ok(())
        }
        Err(error) => Err(error.to_string()),
    };
    side.stop().await;
    tried
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_shown_and_verified_as_sslmode_says() {
    let (ours, other) = (Authority::new("ours"), Authority::new("other"));
    let (server, dir) = (certified(&ours).await, TempDir::new().unwrap());
    let at = |host: &str, mode: &str| {
        let mut settings = config(&format!(
            "postgres://sidekick@{host}:{}/postgres?sslmode={mode}",
            server.port
        ));
        user(&ours, dir.path(), &mut settings);
        settings
    };
    try_to_upload(&at("127.0.0.1", "verify-full"))
        .await
        .unwrap();
    // The certificate is that of 127.0.0.1.
    let refused = try_to_upload(&at("localhost", "verify-full"))
        .await
        .unwrap_err();
    assert!(refused.contains("not valid for name"), "{refused}");
    try_to_upload(&at("localhost", "verify-ca")).await.unwrap();

    let mut nobody = at("127.0.0.1", "verify-full");
    (nobody.cert_file, nobody.key_file) = (None, None);
    let refused = try_to_upload(&nobody).await.unwrap_err();
    assert!(refused.contains("certificate"), "{refused}");
    let mut stranger = at("127.0.0.1", "verify-ca");
    let place = TempDir::new().unwrap();
    std::fs::write(place.path().join("ca.pem"), other.pem()).unwrap();
    stranger.ca_file = Some(place.path().join("ca.pem"));
    let refused = try_to_upload(&stranger).await.unwrap_err();
    assert!(refused.contains("UnknownIssuer"), "{refused}");
    let refused = try_to_upload(&at("127.0.0.1", "disable"))
        .await
        .unwrap_err();
    assert!(refused.contains("pg_hba.conf"), "{refused}");
}

fn settings_file(dir: &Path, server: &Postgres) {
    let url = format!(
        "postgres://sidekick:hush@127.0.0.1:{}/postgres\n",
        server.port
    );
    std::fs::write(dir.join("database.url"), url).unwrap();
    let port = ports::free_port();
    let text = format!(
        "[node]\nname = \"sidekick_{port}@127.0.0.1\"\n[node.epmd]\nport = {port}\n[[sink]]\nname = \"db\"\nkind = \"postgres\"\n\
         url_file = \"database.url\"\nlimits = {{ records = 20 }}\n"
    );
    std::fs::write(dir.join("sidekick.toml"), text).unwrap();
}

/// A backlog that is there before sidekick starts.
async fn backlog(dir: &Path, last: u64) {
    let options = Options::new(dir.join("var/buffer"));
    let buffer = tokio::task::spawn_blocking(|| Buffer::open(options));
    let buffer = buffer.await.unwrap().unwrap();
    for first in (1..=last).step_by(1000) {
        let record = |n| etf::encode(&Term::map([("n", Term::int(n))]));
        let payloads = (first..first + 1000).map(record).collect();
        let appended = buffer.append(&stream("events"), payloads, None).await;
        appended.unwrap();
    }
    buffer.close().await;
}

/// Has the running sidekick make its tables, and reads what it says.
fn init(sidekick: &Sidekick) {
    let sinks = sidekick.ctl_until(&["sink", "list"], |sinks| sinks[0]["error"].is_string());
    let told = sinks[0]["error"].as_str().unwrap();
    assert!(told.contains("run  sidekick ctl sink init db"), "{told}");
    let said = |arguments: &[&str]| String::from_utf8(sidekick.ctl(arguments).stdout).unwrap();
    let sql = said(&["sink", "init", "db", "--sql"]);
    let create = "CREATE TABLE IF NOT EXISTS \"sidekick_records\"";
    assert!(sql.contains(create), "{sql}");
    let made = sidekick.ctl_json(&["sink", "init", "db"]);
    let tables = made["tables"].as_array().unwrap();
    assert_eq!(tables.len(), 5, "{made}");
    assert!(
        tables.iter().all(|table| table["done"] == "created"),
        "{made}"
    );
    let again = said(&["sink", "init", "db"]);
    assert!(
        again.contains("checked  sidekick_records\n") && again.contains("store "),
        "{again}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_real_binary_makes_its_tables_and_survives_kills_between_and_within_uploads() {
    const LAST: u64 = 20_000;
    let (server, dir) = (Postgres::start().await, TempDir::new().unwrap());
    settings_file(dir.path(), &server);
    backlog(dir.path(), LAST).await;
    let check = sidekick_binary::binary()
        .args(["check", "--config", "sidekick.toml"])
        .current_dir(dir.path())
        .output()
        .unwrap();
    let shown = String::from_utf8(check.stdout).unwrap();
    assert!(check.status.success(), "{shown}");
    assert!(
        shown.contains("url_file") && !shown.contains("hush"),
        "{shown}"
    );

    let mut sidekick = Sidekick::start_in(dir.path());
    init(&sidekick);
    let client = client(&server.url("postgres")).await.unwrap();
    let stored = async || {
        let count = "SELECT count(*) FROM sidekick_records";
        let row = client.query_one(count, &[]).await.unwrap();
        row.get::<_, i64>(0) as u64
    };
    for goal in [LAST / 10, LAST / 4, LAST / 2] {
        while stored().await < goal {}
        sidekick.kill();
        assert!(stored().await < LAST, "killed when nothing was left to do");
        sidekick = Sidekick::start_in(dir.path());
    }
    let sinks = sidekick.ctl_until(&["sink", "list"], |sinks| {
        sinks[0]["lag_records"] == 0 && sinks[0]["state"] == "idle"
    });
    let place = format!("127.0.0.1:{}/postgres", server.port);
    assert_eq!(
        (&sinks[0]["kind"], &sinks[0]["node"]),
        (&"postgres".into(), &place.into())
    );
    assert_eq!(faults(&client, "events", LAST).await, [""; 0]);
}
