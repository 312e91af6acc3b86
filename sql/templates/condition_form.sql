create function tasker.condition_form(
    p_main     text,
    p_within   text,
    p_all      text,
    p_strings  text[]
)
returns text
language plpgsql immutable as $$
declare
    c_words    constant text :=
        '"[0-9]+"|[0-9][0-9.eE+-]*|true|false|null|exists|is unknown|starts with|like_regex|flag'
        '|&&|\|\||==|!=|<=|>=|[-+*/%<>!() ]';
    v_regexes  text[] := array(
        select p_strings[m.t[1]::int]
        from regexp_matches(p_all, 'like_regex "([0-9]+)"', 'g') m(t)
    );
begin
    return case
        when p_all ~ '^(strict|lax) ' then 'leave out strict or lax'
        when p_all ~ '[$]"' then 'a condition has no variables'
        when p_all like '%.**%' then 'name each key: ** looks at every depth'
        when p_all like '%?(%' then 'a filter may not stand within a filter'
        when p_within like '%$%' then
            'a filter looks at its element only, which is @: give what it is compared with as text '
            'or number'
        when p_main !~ ('^(?:P|' || c_words || ')*$') or p_within !~ ('^(?:Q|' || c_words || ')*$')
            then
                'a condition compares paths, of .key, [0], [last], [0 to 2], [*], .*, a filter '
                '?(@.a > 1), .size(), .type(), .double(), .abs(), .ceiling(), .floor(), with '
                'values, by == != < <= > >= + - * / % && || !(...) exists(...) starts with, '
                'like_regex, is unknown'
        when exists (select from unnest(v_regexes) r where length(r) > 200) then
            'a regular expression has at most 200 characters'
        when exists (
            select from unnest(v_regexes) r
            where r ~ '\\\\[1-9]' or r ~ '\(\?(?:[=!]|<[=!])'
        ) then 'a regular expression has no back references and looks neither ahead nor back'
        when exists (
            select
            from unnest(v_regexes) r
            cross join lateral regexp_matches(r, '(\)?)\{([0-9]+),?([0-9]*)\}', 'g') m(t)
            cross join lateral (
                select greatest(1, m.t[2]::int, nullif(m.t[3], '')::int) as times
            ) n
            group by r
            -- Those of groups multiply what is within them.
            having coalesce(sum(n.times) filter (where m.t[1] = ''), 1)
                * exp(coalesce(sum(ln(n.times)) filter (where m.t[1] <> ''), 0)) > 1000
        ) then 'a regular expression repeats a part 1,000 times at most, {n} within {m} counted '
            'as n times m'
    end;
end
$$;
comment on function tasker.condition_form(text, text, text, text[]) is
    'What stands in a condition that may not, because it could take more than a time in '
    'proportion to the data; null: nothing. p_main, p_within: its form without and within '
    'filters; p_all: all of it, as mask_condition has written it, with its strings.';
