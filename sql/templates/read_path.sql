create function tasker.read_path(
    p_path       text,
    out normal   text,
    out keys     text[],
    out fixed    boolean,
    out many     int,
    out code     text,
    out message  text
)
language plpgsql immutable as $$
declare
    c_place    constant text := '(?:[0-9]{1,9}|last(?: - [0-9]{1,9})?)';
    v_rest     text;
    v_match    text[];
    v_count    int := 0;
begin
    if length(p_path) > 2000 then
        code := 'invalid_path';
        message := format('a path has at most 2,000 characters; this one has %s', length(p_path));
        return;
    end if;
    begin
        normal := p_path::jsonpath::text;
    exception when others then
        code := 'invalid_path';
        message := format(
            '%s is not a path: %s; %s',
            tasker.excerpt(to_jsonb(p_path)),
            replace(sqlerrm, ' of jsonpath input', ''),
            coalesce(
                tasker.path_hint(p_path),
                'a text that is no path has one more $ before it'));
        return;
    end;

    fixed := true;
    many := 0;
    keys := '{}';
    v_rest := substr(normal, 2);
    -- Segment by segment, from PostgreSQL's own writing of the path. Only what takes a time in
    -- proportion to the data: no place twice, and few lists within lists.
    while v_rest <> '' and left(normal, 1) = '$' loop
        v_count := v_count + 1;
        exit when v_count > 50;
        v_match := regexp_match(v_rest, '^([.]("(?:[^"\\]|\\.)*"))');
        if v_match is not null then
            if cardinality(keys) = v_count - 1 then
                keys := keys || (v_match[2]::jsonb #>> '{}');
            end if;
        elsif v_rest ~ ('^\[' || c_place || '\]') then
            v_match := regexp_match(v_rest, '^(\[[^]]*\])');
        elsif v_rest ~ '^[.](size|abs|ceiling|floor)\(\)' then
            v_match := regexp_match(v_rest, '^([.][a-z]+\(\))');
            fixed := false;
        else
            v_match := regexp_match(
                v_rest, '^([.]\*(?!\*)|\[(?:\*|' || c_place || ' to ' || c_place || ')\])');
            fixed := false;
            many := many + 1;
        end if;
        exit when v_match is null;
        v_rest := substr(v_rest, length(v_match[1]) + 1);
    end loop;

    if v_count > 50 or many > 4 then
        code := 'unsupported_path';
        message := 'a path has at most 50 keys and places, and [*], .*, or ranges four times';
    elsif v_rest <> '' or left(normal, 1) <> '$' then
        code := 'unsupported_path';
        message := format(
            '%s may not stand here: %s',
            tasker.excerpt(to_jsonb(p_path)),
            coalesce(
                tasker.path_hint(p_path),
                tasker.path_hint(normal),
                'a path is $ and then .key, ."any key", [0], [last], [0 to 2], [*], .*, .size(), '
                '.abs(), .ceiling(), or .floor()'));
    end if;
end
$$;
comment on function tasker.read_path(text) is
    'A path of a template, in the notation of PostgreSQL''s jsonpath. '
    'normal: as PostgreSQL writes it. keys: its keys up to the first other segment. '
    'fixed: it has only keys and places of lists. many: segments that give several values. '
    'code, message: what is wrong with it.';
