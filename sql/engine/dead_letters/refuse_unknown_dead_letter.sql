create function tasker.refuse_unknown_dead_letter(p_entry_id uuid)
returns void
language plpgsql stable as $$
begin
    raise exception 'there is no dead letter %', coalesce(p_entry_id::text, 'null')
        using
            errcode = 'TK040',
            hint =
                'tasker.dead_letter_overview lists them; '
                'closed ones are removed after the retention.';
end
$$;
comment on function tasker.refuse_unknown_dead_letter(uuid) is
    'Raises TK040.';
