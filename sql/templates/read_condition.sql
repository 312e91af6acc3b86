create function tasker.read_condition(
    p_condition    text,
    out test       text,
    out paths      text[],
    out weight     int,
    out filters    boolean,
    out regex      boolean,
    out joins      int,
    out selfjoins  int,
    out digits     boolean,
    out code       text,
    out message    text
)
language plpgsql immutable as $$
declare
    c_place    constant text := '(?:[0-9]{1,9}|last(?: - [0-9]{1,9})?)';
    c_segment  constant text := format(
        '(?:[.]"[0-9]+"|[.]\*(?!\*)|\[(?:\*|%1$s|%1$s to %1$s)\]'
        '|[.](?:size|abs|ceiling|floor|type|double)\(\)|\?)',
        c_place);
    c_compare  constant text := '[^&|]* (?:==|!=|<=|>=|<|>) [^&|]*';
    v_masked   record;
    v_all      text;
    v_main     text;
    v_within   text;
begin
    code := 'invalid_condition';
    if length(p_condition) > 2000 then
        message := format(
            'a condition has at most 2,000 characters; this one has %s', length(p_condition));
        return;
    end if;
    begin
        test := p_condition::jsonpath::text;
    exception when others then
        message := concat_ws(
            '; ',
            format(
                '%s is no condition: %s',
                tasker.excerpt(to_jsonb(p_condition)),
                replace(sqlerrm, ' of jsonpath input', '')),
            tasker.condition_hint(p_condition));
        return;
    end;

    -- A short number may be a long one.
    if length(test) > 3000 then
        message := 'a condition has no number of many digits, such as 1e1000';
        return;
    end if;

    -- Its form: each $ path as P, and within filters each @ path as Q.
    v_masked := tasker.mask_condition(test);
    v_main := regexp_replace(v_masked.main, '[$]' || c_segment || '*', 'P', 'g');
    v_within := regexp_replace(v_masked.filters, '@' || c_segment || '*', 'Q', 'g');
    v_all := v_masked.main || ' ' || v_masked.filters;
    code := 'unsupported_condition';
    message := tasker.condition_form(v_main, v_within, v_all, v_masked.strings);
    if message is not null then
        return;
    end if;

    paths := array(
        select (
            select string_agg(
                k.t[1] || coalesce(
                    -- As people write it.
                    regexp_replace(
                        v_masked.strings[k.t[2]::int], '^"([A-Za-z_][A-Za-z0-9_]*)"$', '\1'),
                    ''),
                ''
                order by n)
            from regexp_matches(
                regexp_replace(m.t[1], '\?|[.](?:type|double)\(\)', '', 'g'),
                '([^"]*)(?:"([0-9]+)")?',
                'g') with ordinality k(t, n)
        )
        from regexp_matches(v_masked.main, '([$]' || c_segment || '*)', 'g') m(t)
    );
    filters := v_masked.filters <> '';
    regex := v_all like '%like_regex%';
    joins := (select count(*) from regexp_matches(v_main, 'P' || c_compare || '(?=P)', 'g'));
    selfjoins := (select count(*) from regexp_matches(v_within, 'Q' || c_compare || '(?=Q)', 'g'));
    digits := v_main ~ ' [*/%] ';
    if joins + selfjoins > 4 then
        message := 'a condition compares two paths at most four times';
        return;
    end if;
    weight := tasker.condition_weight(v_main, v_within, v_all);

    code := 'invalid_condition';
    message := tasker.value_problem(test);
    if message is null then
        code := null;
    end if;
end
$$;
comment on function tasker.read_condition(text) is
    'A condition of a template, in the notation of PostgreSQL''s jsonpath. '
    'test: as PostgreSQL writes it. paths: those from $, without their filters, .type(), and '
    '.double(). '
    'weight: by how much the data is looked at more than once, at most. '
    'filters, regex, digits: whether it has filters, like_regex, or multiplies or divides. '
    'joins: how often it compares two paths; selfjoins: two within a filter. '
    'code, message: what is wrong with it.';
