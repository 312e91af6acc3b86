create function tasker.path_hint(p_path text) returns text
language sql immutable parallel safe as $$
    select case
        when p_path ~ '[.][.]' or p_path ~ '[.]\*\*' then 'name each key: a path that looks at '
            'every depth is not allowed'
        when p_path ~ '\[-' then 'the last element is [last], the one before it [last - 1]'
        when p_path ~ '\[[0-9]*:[0-9]*\]' then 'write [0 to 1] for the first two elements'
        when p_path ~ '\[[^]"]*,' then 'take one place, or a range such as [0 to 2]'
        when p_path ~ '[.](length|count)\(\)' then 'the number of elements is .size()'
        when p_path ~ '\?' then 'a filter may not stand here'
        when p_path ~ '\[[''"]' then 'a key of other signs is written ."a key"'
        when p_path ~ '^(strict|lax) ' then 'leave out strict or lax'
        when p_path ~ '[.][A-Za-z0-9_]+-' then 'a key with other signs than letters, digits, and _ '
            'is written in quotes: ."order-id"'
        when p_path ~ '(^|[^\[0-9])[.][0-9]' then 'an element is [0], and a key that begins with a '
            'digit is written in quotes: ."1a"; a text that is no path has one more $ before it'
        when p_path ~ '(==|!=|<|>|&&|[|][|])' then 'a path gives a value, and compares none'
        when p_path ~ '^\$"' then 'a path begins with $. and has no variables'
    end
$$;
comment on function tasker.path_hint(text) is
    'What is probably meant by a path that is not allowed, or that does not parse; null: no idea.';
