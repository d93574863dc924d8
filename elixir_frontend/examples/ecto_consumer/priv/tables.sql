-- The tables of MyApp.Matches, for PostgreSQL and CockroachDB.
CREATE TABLE IF NOT EXISTS goals (
    origin text NOT NULL,
    stream text NOT NULL,
    seq bigint NOT NULL,
    kind text NOT NULL,
    by text,
    PRIMARY KEY (origin, stream, seq)
);

CREATE TABLE IF NOT EXISTS watermarks (
    origin text NOT NULL,
    stream text NOT NULL,
    seq bigint NOT NULL,
    PRIMARY KEY (origin, stream)
);
