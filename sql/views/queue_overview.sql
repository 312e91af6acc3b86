create view tasker.queue_overview as
select m.queue_name as queue, n.namespace, case when n.namespace is null then 'orchestration' else 'worker' end as kind,
       m.queue_length as depth, m.queue_visible_length as visible, m.oldest_msg_age_sec as oldest_age_seconds, m.total_messages as total
  from (select 'orchestration_task_requests' as queue, null as namespace
        union all select 'orchestration_step_results', null
        union all select tasker.worker_queue(n.namespace), n.namespace from tasker.namespaces n) n
 cross join lateral tasker.queue_metrics(n.queue) m;
comment on view tasker.queue_overview is 'Every queue of Tasker. depth: messages; visible: those not claimed; oldest_age_seconds: null when empty; total: sent so far.';
