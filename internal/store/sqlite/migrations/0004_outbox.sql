-- Whose outbox a change is in, who writes, kinds of gaps, and which stops missed others.

-- +goose Up

-- slot is that of the namespace, see package shard. What an earlier version stored has slot 0,
-- whatever its namespace: exactly one process has it. The numbers go on where they were.
CREATE TABLE changes_new (
    seq     INTEGER PRIMARY KEY AUTOINCREMENT,
    record  INTEGER NOT NULL UNIQUE REFERENCES records (seq) ON DELETE CASCADE,
    cluster TEXT    NOT NULL,
    slot    INTEGER NOT NULL,
    at      INTEGER NOT NULL -- when it was stored; 0 by an earlier version
);
INSERT INTO changes_new (seq, record, cluster, slot, at)
    SELECT c.seq, c.record, r.cluster, 0, 0 FROM changes c JOIN records r ON r.seq = c.record;
DELETE FROM sqlite_sequence WHERE name = 'changes_new';
INSERT INTO sqlite_sequence (name, seq) SELECT 'changes_new', seq FROM sqlite_sequence WHERE name = 'changes';
DROP TABLE changes;
ALTER TABLE changes_new RENAME TO changes;

CREATE TABLE consumers_new (
    cluster TEXT    NOT NULL,
    name    TEXT    NOT NULL,
    slot    INTEGER NOT NULL,
    seq     INTEGER NOT NULL,
    PRIMARY KEY (cluster, name, slot)
) WITHOUT ROWID;
WITH RECURSIVE slots (slot) AS (SELECT 0 UNION ALL SELECT slot + 1 FROM slots WHERE slot < 15)
INSERT INTO consumers_new (cluster, name, slot, seq)
    SELECT k.cluster, c.name, s.slot, c.seq FROM consumers c, slots s,
        (SELECT DISTINCT cluster FROM records UNION SELECT cluster FROM scopes) k;
DROP TABLE consumers;
ALTER TABLE consumers_new RENAME TO consumers;

-- The newest term in which a slot of a cluster was claimed.
CREATE TABLE terms (
    cluster TEXT    NOT NULL,
    slot    INTEGER NOT NULL,
    term    INTEGER NOT NULL,
    PRIMARY KEY (cluster, slot)
) WITHOUT ROWID;

CREATE TABLE gaps_new (
    cluster TEXT    NOT NULL,
    kind    TEXT    NOT NULL,
    scope   TEXT    NOT NULL,
    from_at INTEGER NOT NULL,
    why     TEXT    NOT NULL,
    to_at   INTEGER NOT NULL,
    count   INTEGER NOT NULL,
    PRIMARY KEY (cluster, from_at, kind, scope, why)
) WITHOUT ROWID;
INSERT INTO gaps_new (cluster, kind, scope, from_at, why, to_at, count)
    SELECT cluster, '', scope, from_at, why, to_at, 0 FROM gaps;
DROP TABLE gaps;
ALTER TABLE gaps_new RENAME TO gaps;

-- How many stops were missed before this one; -1 for what an earlier version stored and nobody
-- has looked at yet. The documents are compressed: the program fills it, beside what else goes on.
ALTER TABLE records ADD COLUMN missed INTEGER NOT NULL DEFAULT -1;
UPDATE records SET missed = 0 WHERE (SELECT missed FROM totals) = 0;
CREATE INDEX records_missed ON records (at, seq, missed) WHERE missed <> 0;
