create type tasker.made_value as (
    value  jsonb,
    error  jsonb
);
comment on type tasker.made_value is
    'What a template makes of a task: a step''s inputs, or why they cannot be made; or an output, '
    'and why some of its keys are null.';
