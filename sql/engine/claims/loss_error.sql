create function tasker.loss_error(
    p_code       text,
    p_worker_id  uuid,
    p_losses     int,
    p_last       text default null
)
returns jsonb
language sql immutable as $$
    select jsonb_build_object(
        'code', p_code,
        'retryable', false,
        'message', concat_ws(
            ': ',
            case p_code
                when 'worker_lost' then format(
                    'worker %s died while it ran this step alone, as others had before',
                    p_worker_id
                )
                else format(
                    'lease expired: %s claims were lost in a row, '
                    'to outages or with their workers; the last by worker %s',
                    p_losses,
                    p_worker_id
                )
            end,
            left(p_last, 5000)
        )
    )
$$;
comment on function tasker.loss_error(text, uuid, int, text) is
    'The failure of a step that has lost too many claims; the attempt is for the caller to add.';
