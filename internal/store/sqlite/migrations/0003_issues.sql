-- Issues, incidents, and what objects were seen to be.

-- +goose Up

-- One row per issue. doc is the issue as compressed JSON; the other columns repeat what
-- queries filter and order by. at is when it was seen last.
CREATE TABLE issues (
    seq           INTEGER PRIMARY KEY,
    id            TEXT    NOT NULL UNIQUE,
    fingerprint   TEXT    NOT NULL UNIQUE,
    kin           TEXT    NOT NULL,
    cluster       TEXT    NOT NULL,
    namespace     TEXT    NOT NULL,
    workload_kind TEXT    NOT NULL,
    workload_name TEXT    NOT NULL,
    container     TEXT    NOT NULL,
    kind          TEXT    NOT NULL,
    category      TEXT    NOT NULL,
    cause         TEXT    NOT NULL,
    status        TEXT    NOT NULL,
    at            INTEGER NOT NULL,
    total         INTEGER NOT NULL,
    open          INTEGER NOT NULL,
    doc           BLOB    NOT NULL
);

-- at moves with every stop, so few indexes have it; a workload and a kin have few issues.
CREATE INDEX issues_time      ON issues (at, seq);
CREATE INDEX issues_namespace ON issues (namespace, at, seq);
CREATE INDEX issues_workload  ON issues (workload_name, workload_kind);
CREATE INDEX issues_kin       ON issues (kin);
CREATE INDEX issues_open      ON issues (at, seq) WHERE open > 0;

-- The nodes that the tally of an issue remembers.
CREATE TABLE issue_nodes (
    node  TEXT    NOT NULL,
    issue INTEGER NOT NULL REFERENCES issues (seq) ON DELETE CASCADE,
    PRIMARY KEY (node, issue)
) WITHOUT ROWID;
CREATE INDEX issue_nodes_issue ON issue_nodes (issue);

-- The IDs of issues that were absorbed.
CREATE TABLE issue_aliases (
    alias TEXT    PRIMARY KEY,
    issue INTEGER NOT NULL REFERENCES issues (seq) ON DELETE CASCADE
) WITHOUT ROWID;
CREATE INDEX issue_aliases_issue ON issue_aliases (issue);

-- at is when the last record of it ended; shown whether it has enough members to be listed.
CREATE TABLE incidents (
    seq     INTEGER PRIMARY KEY,
    id      TEXT    NOT NULL UNIQUE,
    cluster TEXT    NOT NULL,
    kind    TEXT    NOT NULL,
    subject TEXT    NOT NULL,
    at      INTEGER NOT NULL,
    shown   INTEGER NOT NULL,
    doc     BLOB    NOT NULL
);
CREATE INDEX incidents_subject ON incidents (kind, subject, at);
CREATE INDEX incidents_time    ON incidents (at, seq, shown);

CREATE TABLE incident_nodes (
    node     TEXT    NOT NULL,
    incident INTEGER NOT NULL REFERENCES incidents (seq) ON DELETE CASCADE,
    PRIMARY KEY (node, incident)
) WITHOUT ROWID;
CREATE INDEX incident_nodes_incident ON incident_nodes (incident);

-- What fields of objects were seen to be, and since when. seen_at is roughly when it was
-- last seen to be so.
CREATE TABLE observations (
    cluster TEXT    NOT NULL,
    object  TEXT    NOT NULL,
    field   TEXT    NOT NULL,
    at      INTEGER NOT NULL,
    value   TEXT    NOT NULL,
    seen_at INTEGER NOT NULL,
    PRIMARY KEY (cluster, object, field, at)
) WITHOUT ROWID;

-- The IDs of what a record belongs to. A record without an issue was stored by a version
-- that had none, and is not counted yet; the empty text is one that belongs to none.
ALTER TABLE records ADD COLUMN issue TEXT;
ALTER TABLE records ADD COLUMN incident TEXT;
CREATE INDEX records_issue    ON records (issue, at, seq);
CREATE INDEX records_incident ON records (incident, at, seq) WHERE incident IS NOT NULL;
