-- Domain events: what steps announce to other systems.

create table tasker.template_events (
    template_id  uuid not null references tasker.templates,
    step         text not null,
    name         text not null,
    position     int not null,
    version      text not null,
    delivery     text not null check (delivery in ('durable', 'fast', 'broadcast')),
    condition    text not null check (condition in ('success', 'failure', 'always', 'retry')),
    schema       jsonb,
    primary key (template_id, step, name)
);
comment on table tasker.template_events is 'The events that the steps of a template publish. schema: the JSON Schema of the payload, which workers check; null: any payload.';

alter table tasker.namespaces add column events boolean not null default false;
comment on column tasker.namespaces.events is 'Whether a template here publishes events that outlive the worker, so that the queue <namespace>_domain_events exists.';
