-- What consumers have seen of domain events.

-- Not unique, on purpose: an event is booked in the transaction that deletes it.
create table faults.booked (
    event    jsonb not null,
    read_ct  int not null
);

-- At least once, with the event's id as the key.
create table faults.keyed (
    event_id  uuid primary key,
    event     jsonb not null
);

-- Heard by subscribers in the workers' processes.
create table faults.heard (
    event_id  uuid not null,
    task_id   uuid not null,
    step      text not null,
    claim_no  int not null
);
