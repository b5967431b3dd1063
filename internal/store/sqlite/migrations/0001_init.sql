-- The first schema of a whyrestart history. Migrations only go forward.
--
-- Times are Unix nanoseconds; 0 where a time is not known or a bound is open.

-- +goose Up

-- Tells the file from that of another program: "WRST".
PRAGMA application_id = 1465013076;

-- One row per stop or stall. doc is the record as compressed JSON without its log;
-- the other columns repeat what queries filter and order by.
CREATE TABLE records (
    seq           INTEGER PRIMARY KEY,
    id            TEXT    NOT NULL,
    at            INTEGER NOT NULL,
    kind          TEXT    NOT NULL,
    category      TEXT    NOT NULL,
    cause         TEXT    NOT NULL,
    cluster       TEXT    NOT NULL,
    namespace     TEXT    NOT NULL,
    pod           TEXT    NOT NULL,
    pod_uid       TEXT    NOT NULL,
    container     TEXT    NOT NULL,
    workload_kind TEXT    NOT NULL,
    workload_name TEXT    NOT NULL,
    node          TEXT    NOT NULL,
    doc           BLOB    NOT NULL
);

CREATE UNIQUE INDEX records_id ON records (id);

-- Each list is read from one of these, newest first, until the page is full. seq stands in
-- an index where columns follow it that only filter: they spare a look into the table.
CREATE INDEX records_time      ON records (at, seq, kind, category, cause);
CREATE INDEX records_namespace ON records (namespace, at, seq, kind, category);
CREATE INDEX records_workload  ON records (workload_name, workload_kind, at, seq, namespace);
CREATE INDEX records_pod       ON records (pod, at);
CREATE INDEX records_pod_uid   ON records (pod_uid, at);
CREATE INDEX records_node      ON records (node, at);

-- Apart from the records, so that lists do not read over them.
CREATE TABLE logs (
    record INTEGER PRIMARY KEY REFERENCES records (seq) ON DELETE CASCADE,
    doc    BLOB    NOT NULL
);

-- The outbox: the latest change of each record. AUTOINCREMENT, because a number that was
-- handed to a consumer must never come again.
CREATE TABLE changes (
    seq    INTEGER PRIMARY KEY AUTOINCREMENT,
    record INTEGER NOT NULL UNIQUE REFERENCES records (seq) ON DELETE CASCADE
);

CREATE TABLE consumers (
    name TEXT    PRIMARY KEY,
    seq  INTEGER NOT NULL
) WITHOUT ROWID;

-- The mark is JSON: nothing is asked of it but the whole, and it grows by fields.
CREATE TABLE marks (
    cluster TEXT NOT NULL,
    pod_uid TEXT NOT NULL,
    type    TEXT NOT NULL,
    name    TEXT NOT NULL,
    mark    TEXT NOT NULL,
    PRIMARY KEY (cluster, pod_uid, type, name)
) WITHOUT ROWID;

CREATE TABLE scopes (
    cluster          TEXT    NOT NULL,
    scope            TEXT    NOT NULL,
    since            INTEGER NOT NULL,
    seen             INTEGER NOT NULL,
    resource_version TEXT    NOT NULL,
    PRIMARY KEY (cluster, scope)
) WITHOUT ROWID;

CREATE TABLE gaps (
    cluster TEXT    NOT NULL,
    scope   TEXT    NOT NULL,
    from_at INTEGER NOT NULL,
    why     TEXT    NOT NULL,
    to_at   INTEGER NOT NULL,
    PRIMARY KEY (cluster, from_at, scope, why)
) WITHOUT ROWID;

-- One row of running totals, so that asking for them does not count millions of rows.
CREATE TABLE totals (
    one    INTEGER PRIMARY KEY CHECK (one = 1),
    stops  INTEGER NOT NULL,
    stalls INTEGER NOT NULL,
    missed INTEGER NOT NULL,
    pruned INTEGER NOT NULL,
    marks  INTEGER NOT NULL
);
INSERT INTO totals VALUES (1, 0, 0, 0, 0, 0);
