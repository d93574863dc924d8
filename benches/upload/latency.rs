//! The way of a record from a real Godot to disk, and on to Khepri.

use crate::usage::{cpu_seconds, forget_peak, peak_mib, quantile};
use crate::world::World;
use sidekick::etf::Term;
use std::time::Instant;

/// What the game makes, one in each tick of 60 Hz.
const RECORDS: u64 = 900;
const GAME: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/upload/game");

/// With the sink's default and with one that does not wait for company.
pub async fn figures() {
    println!(
        "\n| {RECORDS} records of a Godot, one a tick at 60 Hz | → its acknowledgement, p50 / p99 ms | → visible in Khepri, p50 / p99 ms | sidekick: CPU of a core | most RSS |"
    );
    println!("|---|---|---|---|---|");
    for age in ["50ms", "1ms"] {
        row(age).await;
    }
}

fn server() -> String {
    let godot = std::env::var("SIDEKICK_GODOT")
        .expect("SIDEKICK_GODOT names no Godot; run: eval \"$(./scripts/setup --env)\"");
    format!(
        "[[server]]\nid = \"game\"\ncommand = [{godot:?}, \"--headless\", \"--path\", {GAME:?}]\nstart_timeout = \"60s\"\non_exit = \"stop\"\n"
    )
}

async fn row(age: &str) {
    let mut world = World::start(1, &format!("age = {age:?}"), &server()).await;
    let origin = world.origin().await;
    let pid = world.sidekick.pid();
    forget_peak(pid);
    let (began, cpu) = (Instant::now(), cpu_seconds(&[pid]));
    let seen = world
        .eval(&format!(
            "member:seen(<<{origin:?}>>, <<\"latency\">>, {RECORDS})."
        ))
        .await;
    let share = (cpu_seconds(&[pid]) - cpu) / began.elapsed().as_secs_f64() * 100.0;
    let visible = ms(&seen);
    let acknowledged = acknowledged(&mut world, &origin).await;
    println!(
        "| uploads after at most {age} | {} | {} | {share:.1} % | {:.1} MiB |",
        pair(&acknowledged),
        pair(&visible),
        peak_mib(pid)
    );
}

/// A list of microseconds.
fn ms(term: &Term) -> Vec<f64> {
    let list = term.as_list().unwrap().iter();
    list.map(|us| us.as_u64().unwrap() as f64 / 1e3).collect()
}

/// What the game noted at its end, ms.
async fn acknowledged(world: &mut World, origin: &str) -> Vec<f64> {
    world
        .eval(&format!(
            "member:await(<<{origin:?}>>, [<<\"acknowledged\">>], 1)."
        ))
        .await;
    let code = format!(
        "(fun() -> {{ok, [#{{payload := #{{<<\"delays\">> := Delays}}}}]}} = 'Elixir.Sidekick.Store':records(<<{origin:?}>>, <<\"acknowledged\">>, 1, 1), {{delays, Delays}} end)()."
    );
    let told = world.eval(&code).await;
    ms(&told.as_tuple().unwrap()[1])
}

fn pair(ms: &[f64]) -> String {
    format!("{:.1} / {:.1}", quantile(ms, 0.5), quantile(ms, 0.99))
}
