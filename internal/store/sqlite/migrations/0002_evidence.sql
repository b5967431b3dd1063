-- What records were diagnosed from, and which stalls last.

-- +goose Up

-- Apart from the records, so that lists do not read over it: compressed JSON.
CREATE TABLE evidence (
    record INTEGER PRIMARY KEY REFERENCES records (seq) ON DELETE CASCADE,
    doc    BLOB    NOT NULL
);

-- 1 for a stall without an end, of which there were none that had one before.
ALTER TABLE records ADD COLUMN open INTEGER NOT NULL DEFAULT 0;
UPDATE records SET open = 1 WHERE kind = 'stall';

-- Few at any time, and asked for at every start.
CREATE INDEX records_open ON records (at, seq) WHERE open = 1;
