create view tasker.template_overview with (security_barrier) as
select
    v.template_id,
    v.namespace,
    v.name,
    v.version,
    v.definition,
    (select count(*) from tasker.template_steps s where s.template_id = v.template_id) as steps,
    v.applied_no = max(v.applied_no) over (partition by v.namespace, v.name) as current,
    v.created_at
from tasker.templates v
where ((select tasker.limits()) is null
    or v.namespace = any ((select tasker.limits())::text[]));
comment on view tasker.template_overview is
    'Every version of every template. current: the one that a null version means.';
