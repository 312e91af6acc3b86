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
        when p_main ~ '[0-9]{31}' or p_within ~ '[0-9]{31}' then
            'a number in a condition has at most 30 digits'
        when p_within ~ ' [*/%] '
          or (select count(*) from regexp_matches(p_main, ' [*/%] ', 'g')) > 10
            then 'a condition may multiply and divide ten times, and not within a filter'
        when (select count(*) from regexp_matches(p_main || p_within, '[PQ]', 'g')) > 50 then
            'a condition has at most 50 paths'
        when (select count(*) from regexp_matches(p_within, '==|!=|<=|>=|<|>|with', 'g'))
            > (select count(*) from regexp_matches(p_within, 'Q', 'g'))
          or p_main || p_within ~ '["0-9] (like_regex|starts with)'
            then
                'what a filter compares is @ or a part of it, and what a regular expression '
                'matches is a path'
        when cardinality(v_regexes) > 8
          or array_to_string(v_regexes, '') ~ '(\[.*){13}|(\(.*){7}|([*+?].*){25}'
            then
                'a condition has at most eight regular expressions, with twelve classes, six '
                'groups, and 24 signs of * + ? in all'
        else (
            select min(tasker.regex_problem(r)) from unnest(v_regexes) r
        )
    end;
end
$$;
comment on function tasker.condition_form(text, text, text, text[]) is
    'What stands in a condition that may not, because it could take more than a time in '
    'proportion to the data; null: nothing. p_main, p_within: its form without and within '
    'filters; p_all: all of it, as mask_condition has written it, with its strings.';
