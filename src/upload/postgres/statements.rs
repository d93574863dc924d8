//! Every statement, made of the names of tables and columns. Nothing but these names, which the configuration checked and which
//! are quoted here, is ever put into SQL text; all values are parameters.

use super::options::{Columns, PayloadForm, PostgresOptions, Tables};

/// The text of every statement that uploads need.
pub(super) struct Statements {
    pub(super) store: String,
    pub(super) watermark: String,
    pub(super) lock_watermark: String,
    pub(super) new_watermark: String,
    pub(super) records: String,
    pub(super) move_watermark: String,
    pub(super) lock_scope: String,
    pub(super) new_scope: String,
    pub(super) scope: String,
    pub(super) delete_state: String,
    pub(super) clear_state: String,
    pub(super) put_state: String,
    pub(super) move_scope: String,
}

/// A name of a table, or of a table in a schema, quoted.
pub(super) fn quoted(name: &str) -> String {
    let parts: Vec<_> = name.split('.').map(|part| format!("\"{part}\"")).collect();
    parts.join(".")
}

/// The type of the payloads' array, and the cast of one of it.
fn form(payload: PayloadForm) -> (&'static str, &'static str) {
    match payload {
        PayloadForm::Jsonb => ("text[]", "::jsonb"),
        PayloadForm::Bytea => ("bytea[]", ""),
    }
}

impl Statements {
    pub(super) fn new(options: &PostgresOptions) -> Self {
        let Tables {
            store,
            watermarks,
            scopes,
            state,
            ..
        } = &options.tables;
        let (store, watermarks) = (quoted(store), quoted(watermarks));
        let (scopes, state) = (quoted(scopes), quoted(state));
        let (array, cast) = form(options.payload);
        let watermark =
            format!("SELECT seq FROM {watermarks} WHERE origin = $1::uuid AND stream = $2::text");
        Self {
            store: format!("SELECT id FROM {store}"),
            lock_watermark: format!("{watermark} FOR UPDATE"),
            watermark,
            new_watermark: format!(
                "INSERT INTO {watermarks} (origin, stream, seq) VALUES ($1::uuid, $2::text, 0) ON CONFLICT (origin, stream) DO NOTHING"
            ),
            records: records(options, array, cast),
            move_watermark: format!(
                "UPDATE {watermarks} SET seq = $3::int8 WHERE origin = $1::uuid AND stream = $2::text AND seq = $4::int8"
            ),
            lock_scope: format!(
                "SELECT epoch, rev FROM {scopes} WHERE origin = $1::uuid AND scope = $2::text FOR UPDATE"
            ),
            new_scope: format!(
                "INSERT INTO {scopes} (origin, scope, epoch, rev) VALUES ($1::uuid, $2::text, 0, 0) ON CONFLICT (origin, scope) DO NOTHING"
            ),
            scope: format!("SELECT rev FROM {scopes} WHERE origin = $1::uuid AND scope = $2::text"),
            clear_state: format!(
                "DELETE FROM {state} WHERE origin = $1::uuid AND scope = $2::text"
            ),
            delete_state: format!(
                "DELETE FROM {state} WHERE origin = $1::uuid AND scope = $2::text AND key = ANY ($3::text[])"
            ),
            put_state: format!(
                "INSERT INTO {state} (origin, scope, key, rev, value) SELECT $1::uuid, $2::text, s.k, $3::int8, s.v{cast} FROM \
                 unnest($4::text[], $5::{array}) AS s(k, v) ON CONFLICT (origin, scope, key) DO UPDATE SET rev = excluded.rev, value = excluded.value"
            ),
            move_scope: format!(
                "UPDATE {scopes} SET epoch = $3::int8, rev = $4::int8 WHERE origin = $1::uuid AND scope = $2::text"
            ),
        }
    }
}

fn records(options: &PostgresOptions, array: &str, cast: &str) -> String {
    let columns: Vec<String> = options.columns.each().map(|(_, name)| quoted(name)).into();
    format!(
        "INSERT INTO {} ({}) SELECT $1::uuid, $2::text, r.s, r.a, $3::text, r.p{cast} FROM unnest($4::int8[], $5::int8[], \
         $6::{array}) AS r(s, a, p)",
        quoted(&options.tables.records),
        columns.join(", ")
    )
}

/// The statements that make what is missing, in order; the last one gives the store its identity, which is the parameter.
pub(super) fn schema(options: &PostgresOptions) -> Vec<(String, String)> {
    let tables = &options.tables;
    let payload = options.payload.as_str();
    let Columns {
        origin,
        stream,
        seq,
        at_ms,
        node,
        payload: body,
    } = &options.columns;
    let table = |name: &str, columns: &str| {
        let sql = format!("CREATE TABLE IF NOT EXISTS {} ({columns})", quoted(name));
        (name.to_owned(), sql)
    };
    vec![
        table(
            &tables.store,
            "one bool PRIMARY KEY DEFAULT true CHECK (one), id uuid NOT NULL",
        ),
        table(
            &tables.watermarks,
            "origin uuid NOT NULL, stream text NOT NULL, seq int8 NOT NULL, PRIMARY KEY (origin, stream)",
        ),
        table(
            &tables.records,
            &format!(
                "\"{origin}\" uuid NOT NULL, \"{stream}\" text NOT NULL, \"{seq}\" int8 NOT NULL, \"{at_ms}\" int8 NOT NULL, \
                 \"{node}\" text NOT NULL, \"{body}\" {payload} NOT NULL, PRIMARY KEY (\"{origin}\", \"{stream}\", \"{seq}\")"
            ),
        ),
        table(
            &tables.scopes,
            "origin uuid NOT NULL, scope text NOT NULL, epoch int8 NOT NULL, rev int8 NOT NULL, PRIMARY KEY (origin, scope)",
        ),
        table(
            &tables.state,
            &format!(
                "origin uuid NOT NULL, scope text NOT NULL, key text NOT NULL, rev int8 NOT NULL, value {payload} NOT NULL, \
                 PRIMARY KEY (origin, scope, key)"
            ),
        ),
    ]
}

/// Gives the store its identity, where it has none.
pub(super) fn identity(options: &PostgresOptions, id: &str) -> String {
    format!(
        "INSERT INTO {} (id) VALUES ({id}) ON CONFLICT DO NOTHING",
        quoted(&options.tables.store)
    )
}
