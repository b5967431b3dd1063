-- The first schema of a whyrestart history in PostgreSQL. Migrations only go forward.
--
-- Times are Unix nanoseconds; 0 where a time is not known or a bound is open. Texts of the cluster
-- are spelled as text.go says, because a text of PostgreSQL has no NUL and an index has no long ones.
-- There are no foreign keys: the program removes what belongs to a record, and drops partitions.

-- +goose Up

-- One row per cluster. Who writes to a history of a cluster locks its row, so that one transaction
-- at a time does; seq is the newest change of its outbox, the others are totals of what is kept.
CREATE TABLE whyrestart.clusters (
    cluster text   COLLATE "C" PRIMARY KEY,
    seq     bigint NOT NULL DEFAULT 0,
    stops   bigint NOT NULL DEFAULT 0,
    stalls  bigint NOT NULL DEFAULT 0,
    missed  bigint NOT NULL DEFAULT 0,
    pruned  bigint NOT NULL DEFAULT 0,
    marks   bigint NOT NULL DEFAULT 0,
    bytes   bigint NOT NULL DEFAULT 0
);

-- Numbers of rows, a thousand at a time.
CREATE SEQUENCE whyrestart.numbers INCREMENT BY 1000 MINVALUE 1 START WITH 1;

-- The weeks that have partitions, counted from 1970; week 0 is for what has another time than
-- one would believe. A row is there as long as the partitions are.
CREATE TABLE whyrestart.weeks (
    week integer PRIMARY KEY
);

-- Which row has the record with an ID: what makes IDs unique over all partitions.
CREATE TABLE whyrestart.keys (
    id   text    COLLATE "C" PRIMARY KEY,
    week integer NOT NULL,
    seq  bigint  NOT NULL
);

-- One row per stop or stall, in the partition of the week that it first had. doc is the record as
-- compressed JSON without its log; the other columns repeat what queries filter and order by. bytes is
-- the size of its documents.
CREATE TABLE whyrestart.records (
    week          integer  NOT NULL,
    seq           bigint   NOT NULL,
    id            text     COLLATE "C" NOT NULL,
    at            bigint   NOT NULL,
    kind          text     COLLATE "C" NOT NULL,
    category      text     COLLATE "C" NOT NULL,
    cause         text     COLLATE "C" NOT NULL,
    cluster       text     COLLATE "C" NOT NULL,
    namespace     text     COLLATE "C" NOT NULL,
    pod           text     COLLATE "C" NOT NULL,
    pod_uid       text     COLLATE "C" NOT NULL,
    container     text     COLLATE "C" NOT NULL,
    workload_kind text     COLLATE "C" NOT NULL,
    workload_name text     COLLATE "C" NOT NULL,
    node          text     COLLATE "C" NOT NULL,
    open          smallint NOT NULL,
    missed        bigint   NOT NULL,
    bytes         bigint   NOT NULL,
    issue         text     COLLATE "C",
    incident      text     COLLATE "C",
    doc           bytea    NOT NULL,
    PRIMARY KEY (week, seq)
) PARTITION BY RANGE (week);
-- What is compressed already is not to be compressed again.
ALTER TABLE whyrestart.records ALTER COLUMN doc SET STORAGE EXTERNAL;

-- Each list is read from one of these, newest first, until the page is full.
CREATE INDEX records_time      ON whyrestart.records (at, seq);
CREATE INDEX records_namespace ON whyrestart.records (namespace, at, seq);
CREATE INDEX records_workload  ON whyrestart.records (workload_name, workload_kind, at, seq);
CREATE INDEX records_pod       ON whyrestart.records (pod, at, seq);
CREATE INDEX records_pod_uid   ON whyrestart.records (pod_uid, at, seq);
CREATE INDEX records_node      ON whyrestart.records (node, at, seq);
CREATE INDEX records_issue     ON whyrestart.records (issue, at, seq);
CREATE INDEX records_incident  ON whyrestart.records (incident, at, seq) WHERE incident IS NOT NULL;
CREATE INDEX records_open      ON whyrestart.records (at, seq) WHERE open = 1;
CREATE INDEX records_missed    ON whyrestart.records (at, seq) WHERE missed > 0;

-- Apart from the records, so that lists do not read over them.
CREATE TABLE whyrestart.logs (
    week   integer NOT NULL,
    record bigint  NOT NULL,
    doc    bytea   NOT NULL,
    PRIMARY KEY (week, record)
) PARTITION BY RANGE (week);
ALTER TABLE whyrestart.logs ALTER COLUMN doc SET STORAGE EXTERNAL;

CREATE TABLE whyrestart.evidence (
    week   integer NOT NULL,
    record bigint  NOT NULL,
    doc    bytea   NOT NULL,
    PRIMARY KEY (week, record)
) PARTITION BY RANGE (week);
ALTER TABLE whyrestart.evidence ALTER COLUMN doc SET STORAGE EXTERNAL;

-- The outbox: the latest change of each record.
CREATE TABLE whyrestart.changes (
    cluster text     COLLATE "C" NOT NULL,
    seq     bigint   NOT NULL,
    slot    smallint NOT NULL,
    at      bigint   NOT NULL,
    week    integer  NOT NULL,
    record  bigint   NOT NULL,
    PRIMARY KEY (cluster, seq)
);
CREATE UNIQUE INDEX changes_record ON whyrestart.changes (record);

CREATE TABLE whyrestart.consumers (
    cluster text     COLLATE "C" NOT NULL,
    name    text     COLLATE "C" NOT NULL,
    slot    smallint NOT NULL,
    seq     bigint   NOT NULL,
    PRIMARY KEY (cluster, name, slot)
);

-- The newest term in which a slot of a cluster was claimed.
CREATE TABLE whyrestart.terms (
    cluster text     COLLATE "C" NOT NULL,
    slot    smallint NOT NULL,
    term    bigint   NOT NULL,
    PRIMARY KEY (cluster, slot)
);

-- The mark is JSON: nothing is asked of it but the whole, and it grows by fields.
CREATE TABLE whyrestart.marks (
    cluster text  COLLATE "C" NOT NULL,
    pod_uid text  COLLATE "C" NOT NULL,
    type    text  COLLATE "C" NOT NULL,
    name    text  COLLATE "C" NOT NULL,
    mark    bytea NOT NULL,
    PRIMARY KEY (cluster, pod_uid, type, name)
);

-- name and version are the texts as they are: what is a key is cut where it is long.
CREATE TABLE whyrestart.scopes (
    cluster text   COLLATE "C" NOT NULL,
    scope   text   COLLATE "C" NOT NULL,
    since   bigint NOT NULL,
    seen    bigint NOT NULL,
    name    bytea  NOT NULL,
    version bytea  NOT NULL,
    PRIMARY KEY (cluster, scope)
);

CREATE TABLE whyrestart.gaps (
    cluster text   COLLATE "C" NOT NULL,
    from_at bigint NOT NULL,
    what    text   COLLATE "C" NOT NULL, -- its kind, scope and why, hashed
    to_at   bigint NOT NULL,
    count   bigint NOT NULL,
    kind    bytea  NOT NULL,
    scope   bytea  NOT NULL,
    why     bytea  NOT NULL,
    PRIMARY KEY (cluster, from_at, what)
);

-- What fields of objects were seen to be, and since when. seen_at is roughly when it was
-- last seen to be so.
CREATE TABLE whyrestart.observations (
    cluster text   COLLATE "C" NOT NULL,
    object  text   COLLATE "C" NOT NULL,
    field   text   COLLATE "C" NOT NULL,
    at      bigint NOT NULL,
    seen_at bigint NOT NULL,
    name    bytea  NOT NULL, -- of the field
    value   bytea  NOT NULL,
    PRIMARY KEY (cluster, object, field, at)
);

-- One row per issue. doc is the issue as a compressed document; the other columns repeat what
-- queries filter and order by. at is when it was seen last.
CREATE TABLE whyrestart.issues (
    seq           bigint PRIMARY KEY,
    id            text   COLLATE "C" NOT NULL UNIQUE,
    fingerprint   text   COLLATE "C" NOT NULL UNIQUE,
    kin           text   COLLATE "C" NOT NULL,
    cluster       text   COLLATE "C" NOT NULL,
    namespace     text   COLLATE "C" NOT NULL,
    workload_kind text   COLLATE "C" NOT NULL,
    workload_name text   COLLATE "C" NOT NULL,
    container     text   COLLATE "C" NOT NULL,
    kind          text   COLLATE "C" NOT NULL,
    category      text   COLLATE "C" NOT NULL,
    cause         text   COLLATE "C" NOT NULL,
    status        text   COLLATE "C" NOT NULL,
    at            bigint NOT NULL,
    total         bigint NOT NULL,
    open          bigint NOT NULL,
    doc           bytea  NOT NULL
);
ALTER TABLE whyrestart.issues ALTER COLUMN doc SET STORAGE EXTERNAL;
CREATE INDEX issues_time      ON whyrestart.issues (at, seq);
CREATE INDEX issues_namespace ON whyrestart.issues (namespace, at, seq);
CREATE INDEX issues_workload  ON whyrestart.issues (workload_name, workload_kind);
CREATE INDEX issues_kin       ON whyrestart.issues (kin);
CREATE INDEX issues_open      ON whyrestart.issues (at, seq) WHERE open > 0;

-- The nodes that the tally of an issue remembers.
CREATE TABLE whyrestart.issue_nodes (
    node  text   COLLATE "C" NOT NULL,
    issue bigint NOT NULL,
    PRIMARY KEY (node, issue)
);
CREATE INDEX issue_nodes_issue ON whyrestart.issue_nodes (issue);

-- The IDs of issues that were absorbed.
CREATE TABLE whyrestart.issue_aliases (
    alias text   COLLATE "C" PRIMARY KEY,
    issue bigint NOT NULL
);
CREATE INDEX issue_aliases_issue ON whyrestart.issue_aliases (issue);

-- at is when the last record of it ended; shown whether it has enough members to be listed.
CREATE TABLE whyrestart.incidents (
    seq     bigint   PRIMARY KEY,
    id      text     COLLATE "C" NOT NULL UNIQUE,
    cluster text     COLLATE "C" NOT NULL,
    kind    text     COLLATE "C" NOT NULL,
    subject text     COLLATE "C" NOT NULL,
    at      bigint   NOT NULL,
    shown   smallint NOT NULL,
    doc     bytea    NOT NULL
);
ALTER TABLE whyrestart.incidents ALTER COLUMN doc SET STORAGE EXTERNAL;
CREATE INDEX incidents_subject ON whyrestart.incidents (kind, subject, at);
CREATE INDEX incidents_time    ON whyrestart.incidents (at, seq);

CREATE TABLE whyrestart.incident_nodes (
    node     text   COLLATE "C" NOT NULL,
    incident bigint NOT NULL,
    PRIMARY KEY (node, incident)
);
CREATE INDEX incident_nodes_incident ON whyrestart.incident_nodes (incident);
