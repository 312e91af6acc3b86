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
