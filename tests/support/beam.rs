//! Real Erlang nodes for tests: `erl` under our control, its own port mapper, and scripts in Elixir.
//!
//! Every [`Epmd`] has a port of its own, so tests run side by side and never meet the machine's port mapper.
//! All processes are ended when their value is dropped.

#![allow(dead_code, clippy::unwrap_used)]

#[allow(
    clippy::duplicate_mod,
    reason = "each part of the support stands alone"
)]
#[path = "ports.rs"]
mod ports;

#[allow(unused_imports, reason = "each test file uses some")]
pub use ports::free_port;

use sidekick::etf::{self, Term};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

/// The cookie of test clusters.
pub const COOKIE: &str = "test-cookie";
/// How long a peer may take over anything: on a busy machine a BEAM was seen to start for more than 30 s.
const PATIENCE: Duration = Duration::from_secs(120);

/// A name that no other test uses, at 127.0.0.1.
pub fn unique(stem: &str) -> String {
    format!("{stem}_{:08x}@127.0.0.1", rand::random::<u32>())
}

fn tool(name: &str) -> Command {
    let found = std::env::var_os("PATH").and_then(|path| {
        std::env::split_paths(&path)
            .map(|dir| dir.join(name))
            .find(|file| file.is_file())
    });
    let file: PathBuf = found.unwrap_or_else(|| {
        panic!(r#"{name} is not on PATH; run: eval "$(./scripts/setup --env)""#)
    });
    let mut command = Command::new(file);
    command.kill_on_drop(true);
    command
}

/// The port mapper of OTP on a port of its own.
pub struct Epmd {
    pub port: u16,
    child: Child,
}

impl Epmd {
    pub async fn start() -> Self {
        Self::start_on(free_port()).await
    }

    pub async fn start_on(port: u16) -> Self {
        let child = tool("epmd")
            .args(["-port", &port.to_string(), "-address", "127.0.0.1,::1"])
            .env_remove("ERL_EPMD_PORT")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        eventually("epmd answers", async || {
            TcpStream::connect(("127.0.0.1", port)).await.is_ok()
        })
        .await;
        Self { port, child }
    }

    pub async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }
}

/// A running `erl`.
pub struct Beam {
    pub name: String,
    child: Child,
    input: ChildStdin,
    output: tokio::io::Lines<BufReader<ChildStdout>>,
}

/// Reads an expression per line, keeps bindings, answers each with one line of base64.
const LOOP: &str = r#"
    Loop = fun Loop(Bindings) ->
        case io:get_line("") of
            eof -> halt(0);
            Line ->
                {Result, Next} = try
                    {ok, Tokens, _} = erl_scan:string(Line),
                    {ok, Exprs} = erl_parse:parse_exprs(Tokens),
                    {value, Value, After} = erl_eval:exprs(Exprs, Bindings),
                    {{ok, Value}, After}
                catch Class:Reason:Stack -> {{Class, Reason, Stack}, Bindings}
                end,
                io:put_chars(["=> ", base64:encode(term_to_binary(Result)), "\n"]),
                Loop(Next)
        end
    end,
    io:put_chars("=> ready\n"),
    Loop([]).
"#;

impl Beam {
    /// A hidden node with the test cookie.
    pub async fn start(name: &str, epmd_port: u16) -> Self {
        Self::start_with(name, epmd_port, &["-setcookie", COOKIE]).await
    }

    pub async fn start_with(name: &str, epmd_port: u16, flags: &[&str]) -> Self {
        Self::start_named(&["-name", name], epmd_port, flags).await
    }

    /// With these flags in place of `-name NAME`.
    pub async fn start_named(named: &[&str], epmd_port: u16, flags: &[&str]) -> Self {
        let mut child = tool("erl")
            .args([
                "-noshell",
                "-start_epmd",
                "false",
                "-kernel",
                "logger_level",
                "critical",
            ])
            .args(named)
            .args(flags)
            .args(["-eval", &LOOP.replace('\n', " ")])
            .env("ERL_EPMD_PORT", epmd_port.to_string())
            .env("ERL_CRASH_DUMP", "/dev/null")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = child.stdin.take().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut beam = Self {
            name: named[1].to_owned(),
            child,
            input,
            output,
        };
        assert_eq!(beam.answer().await, "ready");
        beam
    }

    /// Evaluates expressions (`a(), b().`) and gives their value; fails the test where they raise.
    pub async fn eval(&mut self, code: &str) -> Term {
        let result = self.try_eval(code).await;
        match result.as_tuple() {
            Some([ok, value]) if ok.is_atom("ok") => value.clone(),
            _ => panic!("{code}\nraised {result}"),
        }
    }

    /// As [`Beam::eval`]: `{ok, Value}` or `{Class, Reason, Stack}`.
    pub async fn try_eval(&mut self, code: &str) -> Term {
        self.begin(code).await;
        self.result().await
    }

    /// Sends expressions without waiting for their value.
    pub async fn begin(&mut self, code: &str) {
        let line = code.replace('\n', " ");
        self.input
            .write_all(format!("{line}\n").as_bytes())
            .await
            .unwrap();
        self.input.flush().await.unwrap();
    }

    /// The value of what [`Beam::begin`] sent.
    pub async fn result(&mut self) -> Term {
        let answer = self.answer().await;
        etf::decode(base64(&answer).into()).unwrap()
    }

    /// Evaluates expressions and gives their value as Erlang prints it.
    pub async fn show(&mut self, code: &str) -> String {
        self.eval(code).await.to_string()
    }

    async fn answer(&mut self) -> String {
        let line = async {
            loop {
                let line = self
                    .output
                    .next_line()
                    .await
                    .unwrap()
                    .expect("the BEAM ended");
                if let Some(answer) = line.strip_prefix("=> ") {
                    return answer.to_owned();
                }
                println!("{}: {line}", self.name);
            }
        };
        tokio::time::timeout(PATIENCE, line)
            .await
            .expect("the BEAM does not answer")
    }

    /// Stops it in its tracks: its connections stay open and silent.
    pub fn pause(&self) {
        self.signal(nix::sys::signal::Signal::SIGSTOP);
    }

    /// Lets it go on.
    pub fn resume(&self) {
        self.signal(nix::sys::signal::Signal::SIGCONT);
    }

    fn signal(&self, signal: nix::sys::signal::Signal) {
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(self.pid()), signal).unwrap();
    }

    /// The pid of its operating system.
    pub fn pid(&self) -> i32 {
        i32::try_from(self.child.id().unwrap()).unwrap()
    }

    /// `kill -9`.
    pub async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    /// SIGTERM, and its end.
    pub async fn terminate(mut self) {
        self.signal(nix::sys::signal::Signal::SIGTERM);
        self.child.wait().await.unwrap();
    }
}

/// Runs an Elixir script on a node of this name; gives what it printed. Fails the test where the script fails.
pub async fn elixir(name: &str, epmd_port: u16, script: &str) -> String {
    let run = tool("elixir")
        .args(["--erl", "-start_epmd false -kernel logger_level critical"])
        .args(["--name", name, "--cookie", COOKIE, "-e", script])
        .env("ERL_EPMD_PORT", epmd_port.to_string())
        .output();
    let output = tokio::time::timeout(PATIENCE, run)
        .await
        .expect("elixir takes too long")
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "elixir failed: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// Asks again and again until the answer is yes; fails the test after a while.
pub async fn eventually(what: &str, mut check: impl AsyncFnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !check().await {
        assert!(tokio::time::Instant::now() < deadline, "never: {what}");
        // sleep: the pause between two looks at something that tells nobody of its change
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn base64(text: &str) -> Vec<u8> {
    let value = |c: u8| match c {
        b'A'..=b'Z' => u32::from(c - b'A'),
        b'a'..=b'z' => u32::from(c - b'a') + 26,
        b'0'..=b'9' => u32::from(c - b'0') + 52,
        b'+' => 62,
        b'/' => 63,
        _ => panic!("not base64: {text}"),
    };
    let digits: Vec<u32> = text.bytes().filter(|c| *c != b'=').map(value).collect();
    let mut out = Vec::with_capacity(digits.len() * 3 / 4);
    for group in digits.chunks(4) {
        let bits = group
            .iter()
            .enumerate()
            .fold(0, |bits, (i, d)| bits | d << (18 - 6 * i));
        out.extend_from_slice(&bits.to_be_bytes()[1..group.len()]);
    }
    out
}

/// Text of bytes for an Erlang expression that makes them: `base64:decode("...")`.
pub fn erlang_binary(bytes: &[u8]) -> String {
    let list: Vec<String> = bytes.iter().map(u8::to_string).collect();
    format!("<<{}>>", list.join(","))
}
