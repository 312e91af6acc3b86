create function tasker.log_operation(
    p_operation  text,
    p_namespace  text,
    p_by         text,
    p_reason     text,
    p_detail     jsonb default null
)
returns void
language plpgsql volatile as $$
begin
    perform tasker.refuse_hidden(p_reason, 'reason');
    insert into tasker.operations (
        at,
        operation,
        namespace,
        said_by,
        reason,
        detail
    )
    values (
        tasker.clock(),
        p_operation,
        p_namespace,
        tasker.said_by(p_by),
        nullif(tasker.limited(p_reason, 'p_reason'), ''),
        p_detail
    );
end
$$;
comment on function tasker.log_operation(text, text, text, text, jsonb) is
    'Records an operation on a namespace or on the whole engine. '
    'Error: TK052.';
