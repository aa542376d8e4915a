-- Two columns more: how the attempt ended, and its batch. Readers of the nine older columns go on as they are.
-- Applied again, it changes nothing.

alter table mai.imagen_usage add column if not exists status text not null default 'succeeded';
alter table mai.imagen_usage add column if not exists batch text not null default '';

create index if not exists imagen_usage_batch on mai.imagen_usage (batch);

comment on table mai.imagen_usage is 'one row for each image, and for each attempt that was billed, or may have been, without one; never the prompt itself';
comment on column mai.imagen_usage.status is 'succeeded; failed or held: no image, though it was billed or may have been';
comment on column mai.imagen_usage.batch is 'name of the output folder and the first digits of the batch''s identity';

-- An attempt that was held and is settled later replaces its row.
do $$
begin
  if exists (select from pg_roles where rolname = 'service_role') then
    grant update on mai.imagen_usage to service_role;
  end if;
end
$$;

notify pgrst, 'reload schema';
