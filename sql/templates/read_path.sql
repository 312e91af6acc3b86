create function tasker.read_path(
    p_path       text,
    out normal   text,
    out keys     text[],
    out fixed    boolean,
    out many     boolean,
    out code     text,
    out message  text
)
language plpgsql immutable as $$
declare
    c_index  constant text := '(?:[0-9]{1,9}|last(?: - [0-9]{1,9})?)';
    c_range  constant text := c_index || '(?: to ' || c_index || ')?';
    v_rest   text;
    v_match  text[];
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
            '%s is not a path: %s%s',
            tasker.excerpt(to_jsonb(p_path)),
            replace(sqlerrm, ' of jsonpath input', ''),
            '; ' || tasker.path_hint(p_path));
        return;
    end;

    fixed := true;
    many := false;
    keys := '{}';
    v_rest := substr(normal, 2);
    -- Segment by segment, from PostgreSQL's own writing of the path.
    while v_rest <> '' and left(normal, 1) = '$' loop
        v_match := regexp_match(v_rest, '^[.]("(?:[^"\\]|\\.)*")');
        if v_match is not null then
            if fixed then
                keys := keys || (v_match[1]::jsonb #>> '{}');
            end if;
            v_rest := substr(v_rest, length(v_match[1]) + 2);
            continue;
        end if;
        v_match := regexp_match(v_rest, '^(\[([0-9]{1,9})\])');
        if v_match is not null and keys <> '{}' then
            if fixed then
                keys := keys || v_match[2];
            end if;
            v_rest := substr(v_rest, length(v_match[1]) + 1);
            continue;
        end if;
        fixed := false;
        v_match := regexp_match(
            v_rest,
            '^(\[' || c_index || '\]|[.](?:size|type|abs|ceiling|floor|double)\(\))');
        if v_match is null then
            v_match := regexp_match(
                v_rest,
                '^([.]\*(?!\*)|\[(?:\*|' || c_range || '(?:,' || c_range || ')*)\])');
            many := true;
        end if;
        exit when v_match is null;
        v_rest := substr(v_rest, length(v_match[1]) + 1);
    end loop;

    if v_rest <> '' or left(normal, 1) <> '$' then
        code := 'unsupported_path';
        message := format(
            '%s may not stand here: %s',
            tasker.excerpt(to_jsonb(p_path)),
            coalesce(
                tasker.path_hint(normal),
                'a path is $ and then .key, ."any key", [0], [last], [0 to 2], [*], .*, .size(), '
                '.type(), .abs(), .ceiling(), .floor(), or .double()'));
    end if;
end
$$;
comment on function tasker.read_path(text) is
    'A path of a template, in the notation of PostgreSQL''s jsonpath. '
    'normal: as PostgreSQL writes it. keys: its keys and indexes up to the first other segment. '
    'fixed: it has no other segments. many: it may give several values. '
    'code, message: what is wrong with it.';
