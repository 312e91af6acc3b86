create function tasker.compile_mapping(
    p_value     jsonb,
    p_under     text,
    p_all       jsonb,
    p_batches   text[],
    p_required  jsonb default '[]'
)
returns jsonb
language plpgsql immutable as $$
declare
    v_text    text := p_value::text;
    v_pieces  text[];
    v_paths   jsonb[];
    v_length  bigint;
    v_names   text[];
    v_parts   jsonb;
begin
    -- As text, in one pass: what stands between the paths, and the paths.
    with token as (
        select m.n, m.t[1] as before, m.t[2] as literal, m.t[3] as colon
        from regexp_matches(v_text, '([^"]*)("(?:[^"\\]|\\.)*")(:?)', 'g') with ordinality m(t, n)
    ), string as (
        -- A key has a colon.
        select
            t.*,
            case
                when t.colon = '' and t.literal like '"$%' then t.literal::jsonb #>> '{}'
            end as string
        from token t
    ), found as (
        select
            s.*,
            coalesce(s.string ~ '^[$]([.]|$)', false) as is_path,
            count(*) filter (where s.string ~ '^[$]([.]|$)') over (
                order by s.n rows between unbounded preceding and 1 preceding) as piece
        from string s
    ), piece as (
        select
            f.piece,
            string_agg(
                f.before
                || case
                    when f.is_path then ''
                    when f.string ~ '^[$]{2}([.]|$)' then to_jsonb(substr(f.string, 2))::text
                    else f.literal
                end
                || f.colon,
                ''
                order by f.n) as text
        from found f
        group by f.piece
    )
    select
        (select sum(length(t.before) + length(t.literal) + length(t.colon)) from token t),
        (select array_agg(tasker.compile_path(f.string) order by f.n) from found f where f.is_path),
        array(
            select coalesce(p.text, '')
            from generate_series(0, (select count(*) from found f where f.is_path)) g(n)
            left join piece p on p.piece = g.n
            order by g.n
        )
    into v_length, v_paths, v_pieces;
    v_pieces[cardinality(v_pieces)] := v_pieces[cardinality(v_pieces)]
        || substr(v_text, coalesce(v_length, 0)::int + 1);

    v_names := tasker.named_steps(v_paths, p_under, p_all);
    v_parts := (select jsonb_object_agg(p ->> 'part', true) from unnest(v_paths) p);
    return jsonb_strip_nulls(jsonb_build_object(
        'pieces', to_jsonb(v_pieces),
        'paths', (
            select jsonb_agg(
                p || jsonb_strip_nulls(jsonb_build_object('required', r.name)) order by n)
            from unnest(v_paths) with ordinality u(p, n)
            left join lateral (
                select min(q.name) as name
                from jsonb_array_elements_text(p_required) q(name)
                where p_value ->> q.name = p ->> 'path'
            ) r on true
        ),
        'plain', tasker.plain_paths(v_paths, p_under, p_batches),
        'context', v_parts -> 'context',
        'task', v_parts -> 'task',
        'constants', v_parts -> 'constants',
        'names', v_names::text,
        'errors', tasker.named_steps(v_paths, 'errors', p_all)::text,
        'batches', nullif(
            array(select n from unnest(v_names) n where n = any (p_batches)), '{}')::text));
end
$$;
comment on function tasker.compile_mapping(jsonb, text, jsonb, text[], jsonb) is
    'How mapped_value makes a valid value with paths: '
    '{"pieces": its text between the paths, "paths": those of compile_path with "required", '
    '"plain": plain_mapping can make it, '
    '"context","task","constants": whether one names it, '
    '"names": steps whose results paths name, "batches": those of them that are batches, '
    '"errors": steps whose errors they name}, PostgreSQL arrays of text. '
    'p_under: parents or steps, as the paths call results. '
    'p_all: the steps that a path without a name means. p_required: keys that must be there.';
