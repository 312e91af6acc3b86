create function tasker.check_path(
    p_path       text,
    p_under      text,
    p_names      jsonb,
    p_constants  jsonb
)
returns table (code text, message text)
language plpgsql stable as $$
declare
    v_read   record;
    v_part   text;
    v_name   text;
    v_known  boolean;
begin
    v_read := tasker.read_path(p_path);
    if v_read.code is not null then
        return query select v_read.code, v_read.message;
        return;
    end if;

    v_part := v_read.keys[1];
    v_name := left(v_read.keys[2], 100);
    v_known := v_read.keys[2] is null or p_names ? v_read.keys[2];
    return query
    select p.code, p.message
    from (values
        (
            v_part is null
                or v_part not in ('context', p_under, 'errors', 'constants', 'task')
                or p_under = 'steps' and v_part in ('steps', 'errors') and v_name is null,
            'unknown_name',
            format(
                'a path here begins with $.context, $.%s.<step>, $.errors.<step>, '
                '$.constants.<name>, or $.task.<name>; this one is %s',
                p_under,
                tasker.excerpt(to_jsonb(p_path)))
        ), (
            v_part in ('parents', 'errors') and p_under = 'parents' and not v_known,
            'unknown_parent',
            format(
                'this step does not depend on "%s": add it to its dependencies to use its result',
                v_name)
        ), (
            v_part in ('steps', 'errors') and p_under = 'steps' and not v_known,
            'unknown_step',
            format('there is no step "%s"', v_name)
        ), (
            v_part = 'constants' and not tasker.has_constant(p_constants, p_path),
            'unknown_constant',
            format(
                'there is nothing at %s in the constants of this template',
                tasker.excerpt(to_jsonb(p_path)))
        ), (
            v_part = 'task'
                and v_read.normal <> '$."task"'
                and (
                    not v_read.fixed
                    or cardinality(v_read.keys) <> 2
                    or v_read.normal like '%]'
                    or v_name not in (
                        'task_id', 'namespace', 'name', 'correlation_id', 'created_at')
                ),
            'unknown_name',
            format(
                '$.task has task_id, namespace, name, correlation_id, and created_at; '
                'this path is %s',
                tasker.excerpt(to_jsonb(p_path)))
        )
    ) p(wrong, code, message)
    where p.wrong;
end
$$;
comment on function tasker.check_path(text, text, jsonb, jsonb) is
    'Problems with one path: its form, and whether what it names is there. '
    'p_names: the steps that it may name, under $.parents or $.steps (p_under).';
