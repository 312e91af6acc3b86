create function tasker.regex_problem(p_regex text) returns text
language sql immutable as $$
    select case
        when length(p_regex) > 200 then 'a regular expression has at most 200 characters'
        when p_regex ~ '\\\\[1-9]' or p_regex ~ '\(\?(?!:)' or p_regex ~ '^"\*\*\*' then
            'a regular expression has no back references and none of the forms that begin with (? '
            'or ***, except (?:'
        when p_regex ~ '\)\{' then
            'a regular expression repeats no group by {n}: *, +, and ? may follow a group'
        -- By the length of its numbers first: they may be of any size.
        when p_regex ~ '\{[0-9]{4}|\{[0-9]*,[0-9]{4}' or (
            select sum(greatest(m.t[1]::int, nullif(m.t[2], '')::int))
            from regexp_matches(p_regex, '\{([0-9]{1,3}),?([0-9]{0,3})', 'g') m(t)
        ) > 100 then 'the {n} of a regular expression add up to 100 at most'
    end
$$;
comment on function tasker.regex_problem(text) is
    'Why a regular expression, a JSON string, could take long to compile or to match; null: it '
    'could not.';
