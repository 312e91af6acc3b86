create function tasker.to_ints(p_texts text[])
returns int[]
language plpgsql immutable as $$
begin
    return p_texts::int[];
exception
    when invalid_text_representation or numeric_value_out_of_range then
        return array(
            select case when t.text ~ '^[0-9]{1,9}$' then t.text::int end
            from unnest(p_texts) with ordinality t(text, n)
            order by t.n
        );
end
$$;
comment on function tasker.to_ints(text[]) is
    'Each text as a whole number, or null if it is not one: messages from outside must not throw.';
