create function tasker.may_use(p_namespace text) returns boolean
language plpgsql stable parallel safe as $$
declare
    v_limits text[] := tasker.limits();
begin
    return v_limits is null or coalesce(p_namespace = any (v_limits), false);
end
$$;
comment on function tasker.may_use(text) is 'Whether the caller may use a namespace.';
