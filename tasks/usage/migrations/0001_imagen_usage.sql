-- mai.imagen_usage: one row for each picture that imagen made.
-- Applies to any PostgreSQL and to Supabase as they are; applied again, it changes nothing.

create schema if not exists mai;

create table if not exists mai.imagen_usage (
  id uuid primary key,
  created_at timestamptz not null default now(),
  backend text not null,
  model text not null,
  seed bigint,
  prompt_hash text not null,
  latency_ms bigint,
  cost_usd_estimate numeric(12, 6),
  caller text not null default 'unknown'
);

create index if not exists imagen_usage_created_at on mai.imagen_usage (created_at desc);
create index if not exists imagen_usage_caller on mai.imagen_usage (caller);

comment on table mai.imagen_usage is 'one row for each picture that imagen made; never the prompt itself';
comment on column mai.imagen_usage.id is 'derived from job and attempt: pushing a row again adds nothing';
comment on column mai.imagen_usage.prompt_hash is 'sha256 of the prompt, 64 hex digits';
comment on column mai.imagen_usage.cost_usd_estimate is 'US dollars; null when it is not known';

-- Without a policy nobody but the owner gets at the rows; the one policy below is the service role's.
alter table mai.imagen_usage enable row level security;

-- Supabase's roles, where this database has them.
do $$
declare
  outsider name;
begin
  for outsider in select rolname from pg_roles where rolname in ('anon', 'authenticated') loop
    execute format('revoke all on mai.imagen_usage from %I', outsider);
  end loop;

  if exists (select from pg_roles where rolname = 'service_role') then
    grant usage on schema mai to service_role;
    grant select, insert on mai.imagen_usage to service_role;
    if not exists (
      select from pg_policies
      where schemaname = 'mai' and tablename = 'imagen_usage' and policyname = 'service_role_keeps_usage'
    ) then
      create policy service_role_keeps_usage on mai.imagen_usage to service_role using (true) with check (true);
    end if;
  end if;
end
$$;

-- PostgREST learns of the table at once.
notify pgrst, 'reload schema';
