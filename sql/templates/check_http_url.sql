create function tasker.check_http_url(p_url text, p_path text)
returns table (path text, code text, message text)
language sql stable as $$
    select p_path, 'invalid_url', u.message
    from (values
        (
            1,
            p_url ~ '[[:cntrl:][:space:]\\#]',
            'a url cannot have spaces, control characters, \, or #: write them percent-encoded'
        ), (
            2,
            p_url ~ '^[^/]*//[^/?#]*@',
            'a url may have no user or password: use the header Authorization, with {secret:NAME}'
        ), (
            3,
            p_url !~ '^[{][A-Za-z_][A-Za-z0-9_-]*[}]$'
                and p_url !~* '^https?://[^/?#@\\{}[:space:]]+(/|[?][^{}]*$|$)',
            'a url begins with scheme, host, and the slash behind them, before its first value '
            '(https://api.example.com/{id}); only a url that is {name} alone has its host from a '
            'value'
        ), (
            4,
            split_part(p_url, '?', 1) ~* '/([.]|%2e){1,2}(/|$)',
            'a segment of a path cannot be . or ..: write the path that is meant'
        ), (
            5,
            p_url ~ '%[0-9A-Fa-f]?[{]',
            'a % before a value is not whole: write %25'
        )
    ) u(n, wrong, message)
    where u.wrong
    order by u.n
    limit 1
$$;
comment on function tasker.check_http_url(text, text) is
    'A problem with the form of a url of the http handler with api: true.';
