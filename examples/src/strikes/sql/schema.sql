-- The tables of the strikes example.
-- Runs as one transaction; the lock lets several programs start at once.
select pg_advisory_xact_lock(7310030071);

create schema if not exists strikes;
comment on schema strikes is
    'The strikes example of Tasker: tables of the application, not of the engine.';

create table if not exists strikes.strikes (
    line         int primary key,
    airport      text not null,
    year         int not null,
    date         date not null,
    state        text not null,
    operator     text not null,
    aircraft     text not null,
    phase        text not null,
    speed_knots  int,
    time_of_day  text not null,
    species      text not null,
    size         text not null,
    damage       text not null,
    cost_other   bigint not null,
    cost_repair  bigint not null,
    cost_total   bigint not null
);
comment on table strikes.strikes is
    'Strikes of wildlife on aircraft. '
    'line: in birdstrikes.csv, which has rows that are alike in every column.';
create index if not exists strikes_by_airport on strikes.strikes (airport, year);

create table if not exists strikes.reports (
    airport         text not null,
    year            int not null,
    strikes         int not null,
    damaging        int not null,
    cost            bigint not null,
    worst_species   text not null,
    riskiest_phase  text not null,
    primary key (airport, year)
);
comment on table strikes.reports is
    'What the step report found. cost: in dollars; worst_species: that cost most; '
    'riskiest_phase: with most damaging strikes.';
