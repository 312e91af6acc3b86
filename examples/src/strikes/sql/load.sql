-- do nothing: another run may have loaded the same lines since the delete.
insert into strikes.strikes
select * from jsonb_populate_recordset(null::strikes.strikes, $1)
on conflict (line) do nothing
