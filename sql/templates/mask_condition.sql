create function tasker.mask_condition(
    p_normal     text,
    out main     text,
    out filters  text,
    out strings  text[]
)
language plpgsql immutable as $$
declare
    v_from   int;
    v_at     int;
    v_depth  int;
begin
    select
        array_agg(m.t[2] order by m.n),
        string_agg(
            m.t[1] || case when m.t[2] is null then '' else format('"%s"', m.n) end,
            ''
            order by m.n)
    into strings, main
    from regexp_matches(p_normal, '([^"]*)("(?:[^"\\]|\\.)*")?', 'g') with ordinality m(t, n);

    filters := '';
    loop
        v_from := position('?(' in main);
        exit when v_from = 0;
        v_at := v_from + 1;
        v_depth := 1;
        while v_depth > 0 loop
            v_at := v_at + 1;
            v_depth := v_depth
                + case substr(main, v_at, 1) when '(' then 1 when ')' then -1 else 0 end;
        end loop;
        filters := concat_ws(
            ' && ', nullif(filters, ''), substr(main, v_from + 2, v_at - v_from - 2));
        main := overlay(main placing '?' from v_from for v_at - v_from + 1);
    end loop;
end
$$;
comment on function tasker.mask_condition(text) is
    'A condition, as PostgreSQL writes it, with each string as its number in quotes and without '
    'its filters, of which a ? is left; strings: those with their quotes.';
