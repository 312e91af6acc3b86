-- Tasks that grow: what they choose and what they have done is written in the transaction of
-- their steps, and counted afterwards.
create table faults.choices (
    task_id  text not null,
    chosen   text[] not null
);
create table faults.batches (
    task_id  text not null,
    cursors  jsonb not null
);
-- Not unique, on purpose.
create table faults.items (
    task_id  text not null,
    step     text not null,
    item     int not null
);

-- The dice fall the same way for the same task.
create function faults.dice(p_task_id text, p_sides int)
returns int
language sql immutable as $$
    select abs(hashtext(p_task_id) % p_sides)
$$;

create function faults.choose(p_call jsonb)
returns jsonb
language plpgsql as $$
declare
    v_dice    int := faults.dice(p_call ->> 'task_id', 8);
    v_chosen  text[] := array_remove(array[
        case when v_dice & 1 > 0 then 'short' end,
        case when v_dice & 2 > 0 then 'long1' end,
        case when v_dice & 4 > 0 then 'written' end
    ], null);
begin
    insert into faults.choices
    values (p_call ->> 'task_id', v_chosen);
    return jsonb_build_object('$tasker', jsonb_build_object(
        'type', 'decision',
        'create_steps', v_chosen
    ));
end
$$;

-- None to four cursors of 25 items each.
create function faults.split(p_call jsonb)
returns jsonb
language plpgsql as $$
declare
    v_cursors jsonb;
begin
    select coalesce(
        jsonb_agg(jsonb_build_object('start', n * 25, 'end', n * 25 + 25) order by n),
        '[]'
    )
    into v_cursors
    from generate_series(0, faults.dice(p_call ->> 'task_id', 5) - 1) n;

    insert into faults.batches
    values (p_call ->> 'task_id', v_cursors);
    return jsonb_build_object('$tasker', jsonb_build_object(
        'type', 'batches',
        'cursors', v_cursors
    ));
end
$$;

-- Six items, from where the last claim stopped; then a checkpoint, or at the end the sum.
create function faults.work(p_call jsonb)
returns jsonb
language plpgsql as $$
declare
    v_start  int := (p_call #>> '{inputs,start}')::int;
    v_end    int := (p_call #>> '{inputs,end}')::int;
    v_from   int := coalesce((p_call #>> '{checkpoint,cursor}')::int, v_start);
    v_upto   int := least(v_from + 6, v_end);
    v_sum    bigint := coalesce((p_call #>> '{checkpoint,accumulated}')::bigint, 0)
        + (v_from + v_upto - 1) * (v_upto - v_from) / 2;
begin
    insert into faults.items
    select p_call ->> 'task_id', p_call ->> 'step', i
    from generate_series(v_from, v_upto - 1) i;
    perform pg_sleep(0.01);

    if v_upto < v_end then
        return jsonb_build_object('$tasker', jsonb_build_object(
            'type', 'checkpoint',
            'cursor', v_upto,
            'items_processed', v_upto - v_start,
            'accumulated', v_sum
        ));
    end if;
    return to_jsonb(v_sum);
end
$$;

create function faults.total(p_call jsonb)
returns jsonb
language sql as $$
    select to_jsonb(coalesce(sum(r::bigint), 0))
    from jsonb_array_elements_text(p_call #> '{parents,work,results}') r
$$;
