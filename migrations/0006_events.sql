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

-- Roles belong to the whole cluster: another database may have made it, or may be making it now.
do $$
begin
    if to_regrole('tasker_consumer') is null then
        create role tasker_consumer nologin;
    end if;
exception
    when duplicate_object or unique_violation then
        null;
    when insufficient_privilege then
        raise notice 'role tasker_consumer was not created (no right to create roles); create it and run tasker migrate again to grant its functions';
end
$$;
