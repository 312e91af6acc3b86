-- PostgreSQL 18 has uuidv7(); before that we make an id of the same form.
do $do$
begin
    if to_regprocedure('pg_catalog.uuidv7()') is not null then
        execute $f$
            create function tasker.new_id() returns uuid
            language sql volatile
            as 'select pg_catalog.uuidv7()'
        $f$;
    else
        execute $f$
            create function tasker.new_id() returns uuid
            language plpgsql volatile as $$
            declare
                -- 48 bits of milliseconds, then 12 bits of the fraction of the millisecond, so that
                -- ids made within one millisecond are in order too. gen_random_uuid() has the
                -- variant bits set.
                v_micros    bigint := floor(extract(epoch from clock_timestamp()) * 1000000);
                v_fraction  int := (v_micros % 1000) * 4096 / 1000;
                v_bytes     bytea := overlay(
                    uuid_send(gen_random_uuid())
                    placing substring(int8send(v_micros / 1000) from 3)
                    from 1 for 6
                );
            begin
                v_bytes := set_byte(v_bytes, 6, 112 | (v_fraction >> 8));
                v_bytes := set_byte(v_bytes, 7, v_fraction & 255);
                return encode(v_bytes, 'hex')::uuid;
            end
            $$
        $f$;
    end if;
end
$do$;
comment on function tasker.new_id() is
    'A new UUIDv7: ordered by time, version and variant bits set.';
