-- for: operator, readonly
create function tasker.list_settings()
returns table (
    name           text,
    value          text,
    default_value  text,
    type           text,
    description    text
)
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
    select
        a.attname::text,
        to_jsonb(s) ->> a.attname,
        -- The default is shown without quotes and cast: '30'::numeric as 30; 100 as it is.
        trim(both '''' from regexp_replace(pg_get_expr(d.adbin, d.adrelid), '::[a-z ]+$', '')),
        format_type(a.atttypid, a.atttypmod),
        col_description(a.attrelid, a.attnum)
    from pg_attribute a
    left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
    cross join tasker.settings s
    where (select tasker.refuse_limited())
      and a.attrelid = 'tasker.settings'::regclass
      and a.attnum > 0
      and not a.attisdropped
      and a.attname <> 'singleton'
    order by a.attname
$$;
comment on function tasker.list_settings() is
    'Every setting of the engine: its value and default (null: not set), its type, and what it '
    'does. Error: TK053.';
