create function tasker.condition_too_much(p_object jsonb, p_condition jsonb) returns jsonb
language plpgsql immutable as $$
declare
    c_pairs   constant bigint := 4000000;
    v_counts  bigint[];
begin
    if p_condition ? 'digits' and p_object::text ~ '([0-9]{250}){4}' then
        return tasker.mapping_error('condition_too_large', format(
            'its condition %s computes, where there is a number of 1,000 digits or more',
            left(p_condition ->> 'condition', 300)));
    end if;

    -- Lists are compared element by element, each with each.
    if p_condition ? 'joins' then
        v_counts := array(
            select (
                select sum(
                    case jsonb_typeof(q) when 'array' then jsonb_array_length(q) else 1 end)
                from jsonb_path_query(p_object, p.path::jsonpath, '{}', true) q
            ) as n
            from jsonb_array_elements_text(p_condition -> 'paths') p(path)
            order by n desc nulls last
            limit 2
        );
        if v_counts[1] * v_counts[2] * (p_condition ->> 'joins')::bigint > c_pairs then
            return tasker.mapping_error('condition_too_large', format(
                'its condition %s compares lists of %s and %s elements, each with each',
                left(p_condition ->> 'condition', 300), v_counts[1], v_counts[2]));
        end if;
    end if;
    return null;
end
$$;
comment on function tasker.condition_too_much(jsonb, jsonb) is
    'An error where judging a condition could take long by the form of the data; null: it cannot.';
