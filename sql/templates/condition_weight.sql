create function tasker.condition_weight(p_main text, p_within text, p_all text) returns int
language sql immutable as $$
    -- A place or a method costs more than a comparison, and scalars pass through them. A sign goes
    -- through all values, and what stands in a filter is judged for each element.
    select length(regexp_replace(p_main || p_within, '[^PQ+-]', '', 'g'))
        + length(regexp_replace(p_within, '[^=<>&|!]', '', 'g'))
        + 4 * (length(p_all) - length(replace(replace(p_all, '[', ''), '.*', '.')))
        + 2 * (length(p_all) - length(replace(p_all, '()', '')))
$$;
comment on function tasker.condition_weight(text, text, text) is
    'How often a condition looks at the same data, at most, in units of a comparison. The '
    'parameters are those of condition_form.';
