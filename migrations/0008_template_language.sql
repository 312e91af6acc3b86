-- What a template says of its data: the inputs of its steps, the defaults of the context.

alter table tasker.template_steps
    add inputs jsonb,
    add inputs_bytes int,
    add inputs_paths int;
comment on column tasker.template_steps.inputs is
    'How its inputs are made, as compile_inputs has written it; null: it has none.';
comment on column tasker.template_steps.inputs_bytes is
    'The most bytes, as text, of what is the same in the inputs of all tasks.';
comment on column tasker.template_steps.inputs_paths is
    'How many paths of the inputs look into contexts and results.';
comment on column tasker.steps.inputs is
    'What its handler was given as inputs: what the template makes of the context and the '
    'results, at the latest claim, or the cursor of one step of a batch.';

alter table tasker.templates add constants jsonb;
comment on column tasker.templates.constants is
    'What $.constants is in paths; null: nothing.';
alter table tasker.templates add defaults jsonb;
comment on column tasker.templates.defaults is
    'The default values of the context''s keys, from the input_schema; null: none.';
alter table tasker.tasks add defaulted text[];
comment on column tasker.tasks.defaulted is
    'The keys of the context that the client did not give: the template''s defaults; null: none.';

alter table tasker.templates add output jsonb;
comment on column tasker.templates.output is
    'How the result of its tasks is made, as compile_output has written it; null: of the leaf '
    'steps.';
alter table tasker.tasks add output_errors jsonb;
comment on column tasker.tasks.output_errors is
    'Why a key of the output is null, by key; null: none.';
comment on column tasker.tasks.result is
    'What the template''s output made, or the result that an operator gave when resolving the '
    'task; null: the results of the leaf steps.';

-- Conditions: which steps exist by what the data says.
alter table tasker.template_steps
    add conditional boolean not null default false,
    add condition jsonb,
    add sisters text[],
    add when_false text check (when_false = 'complete'),
    add may_skip boolean not null default false,
    add reveals boolean not null default false;
comment on column tasker.template_steps.conditional is
    'Whether it has a condition (when), or exists where others do not (otherwise).';
comment on column tasker.template_steps.condition is
    'How its condition is judged, as compile_condition has written it; null: it has none.';
comment on column tasker.template_steps.sisters is
    'The steps with a condition of which none may exist, where it is the otherwise of them.';
comment on column tasker.template_steps.when_false is
    'complete: where its condition is false, or its handler skips, it is complete with null; '
    'null: what depends on it does not exist then.';
comment on column tasker.template_steps.may_skip is
    'Whether its handler may skip it.';
comment on column tasker.template_steps.reveals is
    'Whether other steps may come into being when it ends well.';
alter table tasker.templates add judged_roots boolean not null default false;
comment on column tasker.templates.judged_roots is
    'Whether a step without parents has a condition, or is the otherwise of one.';

create table tasker.step_verdicts (
    task_id    uuid not null,
    step       text not null,
    holds      boolean,
    reason     jsonb,
    judged_at  timestamptz not null,
    primary key (task_id, step)
);
comment on table tasker.step_verdicts is
    'Whether the condition of a step holds in a task: judged once, when all that the step waits '
    'for has ended.';
comment on column tasker.step_verdicts.holds is
    'Null: it is neither true nor false, and the step fails.';
comment on column tasker.step_verdicts.reason is
    'What a condition that does not hold looked at, as a string; the error of one that is neither '
    'true nor false.';

-- Paths after a failure.
alter table tasker.template_edges
    add kind text not null default 'complete' check (kind in ('complete', 'failed', 'ended'));
comment on column tasker.template_edges.kind is
    'How the parent must have ended: complete, failed for good, or ended: either.';
alter table tasker.template_steps
    add handled boolean not null default false,
    add goes_on boolean not null default false;
comment on column tasker.template_steps.handled is
    'Whether the template says what follows when it fails for good: on_error, or an edge of the '
    'kind failed or ended.';
comment on column tasker.template_steps.goes_on is
    'on_error: continue: what depends on it runs, though it has failed.';
