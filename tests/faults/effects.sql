-- The effects of the built-in sql handler in these runs:
-- one row for each step, in the step's own transaction.
create schema faults;

-- Not unique, on purpose.
create table faults.effects (
    task_id  text not null,
    step     text not null
);

create function faults.effect(p_call jsonb)
returns jsonb
language plpgsql as $$
begin
    insert into faults.effects
    values (p_call ->> 'task_id', p_call ->> 'step');
    return to_jsonb(true);
end
$$;
