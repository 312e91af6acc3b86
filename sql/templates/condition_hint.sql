create function tasker.condition_hint(p_condition text) returns text
language sql immutable parallel safe as $$
    select case
        when p_condition ~ '''' then 'a text is in double quotes: $.context.state == "paid"'
        when p_condition ~* '\m(and|or)\M' then 'write && and ||'
        when p_condition ~* '\mnot\M' then 'write !(...), or !exists(...)'
        when p_condition ~ '(^|[^=!<>])=([^=]|$)' then 'equality is =='
        when p_condition ~* '\min\M' then 'write $.context.a == "x" || $.context.a == "y"'
        when p_condition ~ '\[\s*\?' then 'a filter stands behind the list: [*] ? (@.a > 1)'
        when p_condition ~ '\{\{|\$\{|\}\}' then 'a condition has no templates: write $.context.a'
        when p_condition !~ '[$]' then 'a condition names what it looks at: $.context.a == true'
        else tasker.path_hint(regexp_replace(p_condition, '==|!=|<=|>=|<|>|&&|[|][|]|[?]', '', 'g'))
    end
$$;
comment on function tasker.condition_hint(text) is
    'What is probably meant by a condition that does not parse; null: no idea.';
