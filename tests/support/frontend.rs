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

/// Names as a list of atoms in Erlang.
pub fn atoms(names: impl IntoIterator<Item = impl AsRef<str>>) -> String {
    let names: Vec<_> = names
        .into_iter()
        .map(|name| format!("'{}'", name.as_ref()))
        .collect();
    format!("[{}]", names.join(","))
}

/// The library in a supervision tree, keeping all it is given.
fn child_spec(dir: &Path, members: &[&str], options: &str) -> String {
    let dir = erlang_binary(dir.to_str().unwrap().as_bytes());
    let members = atoms(members);
    format!(
        "'Elixir.Sidekick':child_spec([{{data_dir, {dir}}}, {{members, {members}}},
            {{retention, [{{records, infinity}}, {{bytes, infinity}}]}}{options}])"
    )
}

/// A running frontend. Its store is in a folder that outlives it.
pub struct Frontend {
    pub beam: Beam,
}

impl Frontend {
    /// Starts the BEAM and the library on this folder; done once uploads are taken.
    pub async fn start(name: &str, epmd_port: u16, dir: &Path) -> Self {
        let mut frontend = Self::boot(name, epmd_port, None).await;
        frontend.serve(name, dir, "").await;
        frontend
    }

    /// Starts the library in a BEAM of this name, with further options, each as Erlang behind a comma.
    pub async fn serve(&mut self, name: &str, dir: &Path, options: &str) {
        let spec = child_spec(dir, &[name], options);
        self.beam
            .eval(&format!(
                "{{ok, _}} = application:ensure_all_started(sidekick),
                 {{ok, _}} = supervisor:start_child('Elixir.Sidekick.ApplicationSupervisor', {spec}),
                 io:setopts([{{binary, false}}])."
            ))
            .await;
    }

    /// The BEAM alone, with the library in its path; what it has to say goes to a file where there is one.
    pub async fn boot(name: &str, epmd_port: u16, log: Option<&Path>) -> Self {
        let mut flags = vec!["-setcookie", COOKIE];
        for path in code_path() {
            flags.extend(["-pa", path.to_str().unwrap()]);
        }
        let mut beam = Beam::start_with(name, epmd_port, &flags).await;
        if let Some(log) = log {
            beam.eval(&format!(
                "{{ok, _}} = application:ensure_all_started(logger),
                 _ = logger:remove_handler(default),
                 ok = logger:add_handler(file, logger_std_h, #{{config => #{{file => {:?}}}}}),
                 io:setopts([{{binary, false}}]).",
                log.to_str().unwrap()
            ))
            .await;
        }
        Self { beam }
    }

    /// Has it serve this folder as one of these members, whenever the others are there: as an operator's supervisor does it is
    /// begun again where it fails.
    pub async fn serve_soon(&mut self, dir: &Path, members: &[&str]) {
        let spec = child_spec(dir, members, "");
        self.beam
            .eval(&format!(
                "(fun() ->
                    {{ok, _}} = application:ensure_all_started(sidekick, permanent),
                    Spec = {spec},
                    spawn(fun Serve() ->
                        case supervisor:start_child('Elixir.Sidekick.ApplicationSupervisor', Spec) of
                            {{ok, _}} -> ok;
                            Other -> logger:error(\"not served yet: ~p\", [Other]), Serve()
                        end
                    end)
                 end)(),
                 io:setopts([{{binary, false}}])."
            ))
            .await;
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
