//! A frontend for tests: a real BEAM with the Elixir library and Khepri, to be killed and started again.

#![allow(dead_code, clippy::unwrap_used)]

use crate::beam::{Beam, COOKIE, erlang_binary};
use sidekick::etf::Term;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Where the library's compiled modules and those of Elixir are, for the code path.
fn code_path() -> &'static [PathBuf] {
    static PATHS: OnceLock<Vec<PathBuf>> = OnceLock::new();
    PATHS.get_or_init(|| {
        let project = Path::new(env!("CARGO_MANIFEST_DIR")).join("elixir_frontend/sidekick");
        let build = Path::new(env!("CARGO_TARGET_TMPDIR")).join("elixir-sidekick");
        let mix = run(Command::new("mix")
            .args(["do", "compile", "--warnings-as-errors", "+", "run"])
            .args(["--no-start", "-e"])
            .arg("for d <- :code.get_path(), do: IO.puts([\"path \", d])")
            .current_dir(project)
            .env("MIX_ENV", "prod")
            .env("MIX_BUILD_PATH", build));
        mix.lines()
            .filter_map(|line| line.strip_prefix("path "))
            .map(PathBuf::from)
            .collect()
    })
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| {
        panic!(r#"mix: {error}; run: eval "$(./scripts/setup --env)""#);
    });
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let errors = text(&output.stderr);
    assert!(output.status.success(), "mix failed: {errors}");
    text(&output.stdout)
}

/// A running frontend. Its store is in a folder that outlives it.
pub struct Frontend {
    pub beam: Beam,
}

impl Frontend {
    /// Starts the BEAM and the library on this folder; done once uploads are taken.
    pub async fn start(name: &str, epmd_port: u16, dir: &Path) -> Self {
        Self::start_with(name, epmd_port, dir, "").await
    }

    /// The same with further options, each as Erlang behind a comma.
    pub async fn start_with(name: &str, epmd_port: u16, dir: &Path, options: &str) -> Self {
        let mut flags = vec!["-setcookie", COOKIE];
        for path in code_path() {
            flags.extend(["-pa", path.to_str().unwrap()]);
        }
        let mut beam = Beam::start_with(name, epmd_port, &flags).await;
        let dir = erlang_binary(dir.to_str().unwrap().as_bytes());
        beam.eval(&format!(
            "{{ok, _}} = application:ensure_all_started(sidekick),
             Spec = 'Elixir.Sidekick':child_spec([{{data_dir, {dir}}}, {{retention, [{{records, infinity}}, {{bytes, infinity}}]}}{options}]),
             {{ok, _}} = supervisor:start_child('Elixir.Sidekick.ApplicationSupervisor', Spec),
             io:setopts([{{binary, false}}])."
        ))
        .await;
        Self { beam }
    }

    /// `kill -9`.
    pub async fn kill(self) {
        self.beam.kill().await;
    }

    /// All records of a stream as `(seq, payload)`.
    pub async fn records(&mut self, origin: &str, stream: &str) -> Vec<(u64, Term)> {
        let (origin, stream) = (
            erlang_binary(origin.as_bytes()),
            erlang_binary(stream.as_bytes()),
        );
        let found = self
            .beam
            .eval(&format!(
                "(fun() -> {{ok, Found}} = 'Elixir.Sidekick.Store':records({origin}, {stream}, 1, 10000000),
                 [{{maps:get(seq, R), maps:get(payload, R)}} || R <- Found] end)()."
            ))
            .await;
        let pair = |term: &Term| match term.as_tuple() {
            Some([seq, payload]) => (seq.as_u64().unwrap(), payload.clone()),
            _ => panic!("{term} is not a pair"),
        };
        found.as_list().unwrap().iter().map(pair).collect()
    }

    /// A stream's head, a number of it.
    pub async fn head(&mut self, origin: &str, stream: &str, key: &str) -> u64 {
        let (origin, stream) = (
            erlang_binary(origin.as_bytes()),
            erlang_binary(stream.as_bytes()),
        );
        let code = format!(
            "(fun() -> {{ok, Head}} = 'Elixir.Sidekick.Store':stream({origin}, {stream}), maps:get({key}, Head) end)()."
        );
        self.beam.eval(&code).await.as_u64().unwrap()
    }

    /// A scope's values, ordered by key.
    pub async fn state(&mut self, origin: &str, scope: &str) -> Vec<(String, Term)> {
        let (origin, scope) = (
            erlang_binary(origin.as_bytes()),
            erlang_binary(scope.as_bytes()),
        );
        let code = format!(
            "(fun() -> {{ok, State}} = 'Elixir.Sidekick.Store':state({origin}, {scope}), lists:sort(maps:to_list(State)) end)()."
        );
        let found = self.beam.eval(&code).await;
        let pair = |term: &Term| match term.as_tuple() {
            Some([key, value]) => (key.as_text().unwrap().to_owned(), value.clone()),
            _ => panic!("{term} is not a pair"),
        };
        found.as_list().unwrap().iter().map(pair).collect()
    }
}
