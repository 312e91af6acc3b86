create function tasker.has_constant(p_constants jsonb, p_path text) returns boolean
language plpgsql immutable as $$
declare
    v_read  record := tasker.read_path(p_path);
begin
    return tasker.path_value(
        jsonb_build_object('constants', coalesce(p_constants, '{}')),
        case when v_read.fixed then v_read.keys end,
        v_read.normal,
        v_read.many) is not null;
exception when data_exception then
    return false;
end
$$;
comment on function tasker.has_constant(jsonb, text) is
    'Whether a path gives a value in the constants of a template.';
