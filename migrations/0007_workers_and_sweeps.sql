-- Live workers, and how far the sweeps have come.

create table tasker.workers (
    worker_id   uuid primary key,
    namespaces  text[] not null,
    handlers    text[] not null,
    info        jsonb not null,
    started_at  timestamptz not null,
    last_seen   timestamptz not null
);
comment on table tasker.workers is
    'Live workers, with what their last heartbeats said.';

create table tasker.sweeps (
    name    text primary key,
    upto    timestamptz,
    after   uuid,
    ran_at  timestamptz
);
comment on table tasker.sweeps is
    'How far each sweep has come: over the unfinished tasks by their key (after), '
    'over the ended ones by their time (upto) and key. '
    'One process at a time runs a sweep: it holds its row.';
