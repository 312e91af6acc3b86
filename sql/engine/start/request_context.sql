create function tasker.request_context(
    p_task_id      uuid,
    out context    text,
    out too_large  boolean
)
language plpgsql stable as $$
declare
    c_limit   constant int := 100 * 1024 * 1024;
    v_stored  int;
begin
    too_large := false;

    select pg_column_size(t.context)
    into v_stored
    from tasker.tasks t
    where t.task_id = p_task_id;
    if v_stored < 50000 then
        select t.context::text
        into context
        from tasker.tasks t
        where t.task_id = p_task_id;
    else
        -- A number of twelve bytes may have a text of 131,072 characters: the whole text may be
        -- longer than any text can be.
        begin
            select t.context::text
            into context
            from tasker.tasks t
            where t.task_id = p_task_id;
        exception when others then
            if not tasker.may_divide(sqlstate, sqlerrm) then
                raise;
            end if;
            too_large := true;
        end;
    end if;

    if octet_length(context) > c_limit then
        context := null;
        too_large := true;
    end if;
end
$$;
comment on function tasker.request_context(uuid) is
    'The context of a task as text; too_large: it has over 100 MiB and is not checked.';
