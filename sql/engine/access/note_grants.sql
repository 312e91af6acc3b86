create function tasker.note_grants()
returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    perform tasker.limit_logins();
    return null;
end
$$;
comment on function tasker.note_grants() is
    'Trigger: after the first grant of a namespace every call looks for its limits; after the last '
    'revoke no call does.';

create trigger note_grants
    after insert or delete or truncate on tasker.namespace_grants
    for each statement execute function tasker.note_grants();
alter table tasker.namespace_grants enable always trigger note_grants;
