//! Reads what stands in each member of the store and in PostgreSQL, and compares it with what was told.

use super::World;
use super::producers::{self, Told};
use super::verdict::{Found, faults, faults_of_names};
use crate::beam::erlang_binary;
use crate::postgres;
use sidekick::etf::{self, Term};
use std::collections::BTreeMap;

/// State by scope, key and value.
pub type State = BTreeMap<String, BTreeMap<String, u64>>;

/// The stream of the demo game.
const GAME: &str = "lobby/match";
/// Records of one answer of a BEAM.
const PAGE: u64 = 2_000;

/// Everything that is wrong, each with the place and the stream before it.
pub async fn everything(world: &mut World, told: &Told, states: &State) -> Vec<String> {
    let names = game_was_told(world);
    let (mut wrong, mut games) = (Vec::new(), Vec::new());
    for n in 0..world.members.len() {
        // One that was started last may still be on its way.
        world.serves(n).await;
        games.push(member(world, n, (told, states, &names), &mut wrong).await);
    }
    games.push(postgres(world, (told, states, &names), &mut wrong).await);
    if games.iter().any(|game| *game != games[0]) {
        wrong.push(format!("{GAME} differs between the places"));
    }
    let records: usize = told.values().map(BTreeMap::len).sum();
    world.say(&format!(
        "compared {records} records of producers and {} events of the game in {} places",
        names.len(),
        games.len()
    ));
    wrong
}

/// What was told: of producers' records and state, and by the game.
type Expected<'a> = (&'a Told, &'a State, &'a [String]);

/// Compares what one member of the store holds; gives the game's events.
async fn member(
    world: &mut World,
    n: usize,
    (told, states, names): Expected<'_>,
    wrong: &mut Vec<String>,
) -> Vec<Found> {
    let origin = origin(world).await;
    for (stream, acknowledged) in told {
        let found = khepri(world, n, &origin, stream).await;
        let faults = faults(acknowledged, &found, true);
        note(wrong, &format!("khepri {n} {stream}"), faults);
    }
    for (scope, expected) in states {
        let found = khepri_state(world, n, &origin, scope).await;
        compare(
            wrong,
            &format!("khepri {n} state {scope}"),
            expected,
            &found,
        );
    }
    let state = game_state(world).await;
    if !holds_game_state(world, n, &origin, &state).await {
        wrong.push(format!("khepri {n}: the game's state is not the last one"));
    }
    let found = khepri(world, n, &origin, GAME).await;
    let faults = faults_of_names(names, &found);
    note(wrong, &format!("khepri {n} {GAME}"), faults);
    found
}

/// Compares what the database holds; gives the game's events.
async fn postgres(
    world: &World,
    (told, states, names): Expected<'_>,
    wrong: &mut Vec<String>,
) -> Vec<Found> {
    let url = world.postgres.url("postgres");
    let client = postgres::client(&url).await.unwrap();
    for (stream, acknowledged) in told {
        let label = "payload->>'p' || ':' || (payload->>'n')";
        let found = database(&client, stream, label).await;
        let faults = faults(acknowledged, &found, true);
        note(wrong, &format!("postgres {stream}"), faults);
    }
    for (scope, expected) in states {
        let found = database_state(&client, scope).await;
        compare(wrong, &format!("postgres state {scope}"), expected, &found);
    }
    let found = database(&client, GAME, "payload->>'id'").await;
    let faults = faults_of_names(names, &found);
    note(wrong, &format!("postgres {GAME}"), faults);
    found
}

fn note(wrong: &mut Vec<String>, place: &str, faults: Vec<String>) {
    wrong.extend(faults.into_iter().map(|fault| format!("{place}: {fault}")));
}

fn compare(
    wrong: &mut Vec<String>,
    place: &str,
    told: &BTreeMap<String, u64>,
    found: &BTreeMap<String, u64>,
) {
    if told != found {
        wrong.push(format!("{place}: is {found:?}, not {told:?}"));
    }
}

/// The state that the game gave last, as sidekick has it on disk.
pub async fn game_state(world: &World) -> Term {
    let request = [
        Term::atom("get_state"),
        Term::text("lobby"),
        Term::text("world"),
    ];
    let request = Term::tuple(request);
    world.target.insist(&request).await
}

/// Whether a member holds this as the game's state; the BEAM compares, for the order of a map's keys is nobody's promise.
async fn holds_game_state(world: &mut World, n: usize, origin: &str, state: &Term) -> bool {
    let origin = erlang_binary(origin.as_bytes());
    let state = erlang_binary(&etf::encode(state));
    let same = world.members[n]
        .eval(&format!(
            "'Elixir.Sidekick.Store':state_value({origin}, <<\"lobby\">>, <<\"world\">>) =:= {{ok, binary_to_term({state})}}."
        ))
        .await;
    same.as_bool().unwrap()
}

/// Under which the records stand.
pub async fn origin(world: &World) -> String {
    let info = world.target.insist(&Term::atom("info")).await;
    info.map_get("origin")
        .and_then(Term::as_text)
        .unwrap()
        .to_owned()
}

/// The names of the events that the game was told are on disk, in its own words.
fn game_was_told(world: &World) -> Vec<String> {
    let text = std::fs::read_to_string(world.witness()).unwrap_or_default();
    // A line without its end was cut by a kill: it was not told.
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let acked = whole.lines().filter(|line| line.starts_with("acked "));
    let ids = acked.filter_map(|line| line.rsplit_once("ids="));
    ids.flat_map(|(_, ids)| ids.split(',').map(str::to_owned))
        .collect()
}

async fn khepri(world: &mut World, n: usize, origin: &str, stream: &str) -> Vec<Found> {
    let (origin, stream) = (
        erlang_binary(origin.as_bytes()),
        erlang_binary(stream.as_bytes()),
    );
    let mut found: Vec<Found> = Vec::new();
    loop {
        let from = found.last().map_or(1, |(seq, _)| seq + 1);
        let page = world.members[n]
            .eval(&format!(
                "(fun() -> {{ok, Found}} = 'Elixir.Sidekick.Store':records({origin}, {stream}, {from}, {PAGE}),
                  [{{maps:get(seq, R), maps:get(payload, R)}} || R <- Found] end)()."
            ))
            .await;
        let page = page.as_list().unwrap();
        if page.is_empty() {
            return found;
        }
        found.extend(page.iter().map(|pair| match pair.as_tuple() {
            Some([seq, payload]) => (seq.as_u64().unwrap(), name(payload)),
            _ => panic!("{pair} is not a pair"),
        }));
    }
}

/// A producer's label, or the id that the game gave.
fn name(payload: &Term) -> String {
    let id = payload.as_map().and_then(|pairs| {
        let mut pairs = pairs.iter();
        pairs.find_map(|(key, value)| (key.as_text() == Some("id")).then(|| value.as_text()))?
    });
    let label = producers::label(payload).or(id.map(str::to_owned));
    label.unwrap_or_else(|| payload.to_string())
}

async fn khepri_state(
    world: &mut World,
    n: usize,
    origin: &str,
    scope: &str,
) -> BTreeMap<String, u64> {
    let frontend = world.members[n].frontend.as_mut().unwrap();
    let state = frontend.state(origin, scope).await;
    state
        .into_iter()
        .map(|(key, value)| (key, value.as_u64().unwrap()))
        .collect()
}

async fn database(client: &tokio_postgres::Client, stream: &str, label: &str) -> Vec<Found> {
    let sql = format!("SELECT seq, {label} FROM sidekick_records WHERE stream = $1 ORDER BY seq");
    let rows = client.query(&sql, &[&stream]).await.unwrap();
    let found = |row: &tokio_postgres::Row| (row.get::<_, i64>(0) as u64, row.get(1));
    rows.iter().map(found).collect()
}

async fn database_state(client: &tokio_postgres::Client, scope: &str) -> BTreeMap<String, u64> {
    let sql = "SELECT key, value::text FROM sidekick_state WHERE scope = $1";
    let rows = client.query(sql, &[&scope]).await.unwrap();
    rows.iter()
        .map(|row| (row.get(0), row.get::<_, String>(1).parse().unwrap()))
        .collect()
}
