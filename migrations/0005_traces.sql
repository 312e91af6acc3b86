-- What traces keep: how far the ended tasks have been handed out for their spans.

alter table tasker.sweeps add column upto timestamptz;
comment on table tasker.sweeps is 'How far each sweep has come: over the unfinished tasks by their key, over the ended ones by their time (upto) and key. One process at a time runs a sweep: it holds its row.';
