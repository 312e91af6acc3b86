create function tasker.has_hidden(p_text text, p_formats boolean default true) returns boolean
language plpgsql immutable as $$
begin
    -- Control characters, and those that turn the direction of what is written.
    if p_text ~ E'[\\x01-\\x1f\\x7f-\\x9f\\u061c\\u200e\\u200f\\u2028-\\u202e\\u2066-\\u2069]' then
        return true;
    end if;

    -- Characters that take no room at all, so that two texts look the same: Unicode's format
    -- characters (Cf) that show nothing, tags, and fillers. Descriptions may have them, since
    -- scripts and emoji are written with joiners.
    return p_formats and p_text ~ (
        E'[\\u00ad\\u034f\\u115f\\u1160\\u17b4\\u17b5\\u180b-\\u180f\\u200b-\\u200d\\u2060-\\u2065'
        '\\u206a-\\u206f\\u3164\\ufeff\\uffa0\\ufff0-\\ufffb\\U00013430-\\U0001343f'
        '\\U0001bca0-\\U0001bca3\\U0001d173-\\U0001d17a\\U000e0000-\\U000e0fff]'
    );
end
$$;
comment on function tasker.has_hidden(text, boolean) is
    'Whether a text has control characters, characters that change its direction, or, '
    'with p_formats, characters that show nothing.';
