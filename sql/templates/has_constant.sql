create function tasker.has_constant(p_constants jsonb, p_path text) returns boolean
language plpgsql immutable as $$
begin
    return tasker.path_value(p_constants, tasker.compile_path(p_path)) is not null;
exception when data_exception then
    return false;
end
$$;
comment on function tasker.has_constant(jsonb, text) is
    'Whether a path gives a value in the constants of a template.';
